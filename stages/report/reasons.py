"""What each reason means, as README's table of reasons says it (a test compares)."""

from __future__ import annotations

REASONS = {
    "no_label": "lies directly in raw/, not in a label's folder",
    "bad_link": "a link that leads out of raw/ (see --follow-links), in a circle or nowhere",
    "name_clash": "its output name happens to equal another picture's (rare): rename it",
    "not_a_file": "a pipe, socket or device; never opened",
    "unreadable": "no permission to read it",
    "empty": "no bytes",
    "not_an_image": "something else, whatever its suffix says",
    "unsupported_format": "a format that is never opened, such as EPS, PDF, SVG or PSD",
    "truncated": "the file ends before the picture does",
    "corrupt": "a known format, but it does not decode",
    "too_large": (
        "over 100 megapixels (--max-megapixels), 512 MB (--max-megabytes), 65,500 pixels a "
        "side, or the memory of a worker (--memory); the record has the figure"
    ),
    "by_hand": "a person dropped it on the page of make review",
    "odd_aspect": "long side over 10 × the short side (--max-aspect)",
    "too_small": "short side under 32 pixels (--min-side)",
    "blank": "hardly any difference in brightness (--min-spread)",
    "duplicate": (
        "a copy: the better picture is kept under the key in of ([how copies are "
        "recognised](docs/likeness.md))"
    ),
    "conflicting_label": (
        "the same picture lies under another label, as the keys in of (--prefer LABEL)"
    ),
    "no_face": "no face is found, or BlazeFace does not confirm what the cascade found",
    "mouth_too_small": "narrower than 22 pixels (--min-mouth)",
    "implausible_face": (
        "FaceMesh sees no face there (--min-presence), or the two landmark models find different"
        " mouths (--min-agreement)"
    ),
    "turned_away": (
        "the face is turned so far to a side that the mouth is seen in profile, or partly aside "
        "and the two models disagree"
    ),
    "blurred_mouth": ("out of focus: the outline of the lips cannot be seen (--min-sharpness)"),
}
