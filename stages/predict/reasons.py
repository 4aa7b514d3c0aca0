"""Why a picture or video could not be read, in a sentence for its owner."""

from __future__ import annotations

UNREADABLE = {
    "empty": "it has no bytes",
    "not_an_image": "it is neither a picture nor a video, whatever its name says",
    "unsupported_format": "this format is not opened: save it as a JPEG or PNG",
    "truncated": "the file ends before the picture does: copy or download it again",
    "corrupt": "it is damaged and does not decode: save it anew",
    "too_large": "it has too many pixels or bytes: make it smaller",
    "unreadable": "there is no permission to read it",
    "bad_link": "the link leads out of the folder, in a circle or nowhere",
    "not_a_file": "it is a folder, a pipe, a socket or a device",
    "missing": "there is no such file",
}
