"""Whether every block of a JPEG decodes, and a clean file around a picture in a damaged one."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.pictures import decode
from pipeline.sample import Image

SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}  # Pillow's mode: the decoder's name for it
JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
COLOURS = {0xE0: b"JFIF\0", 0xEE: b"Adobe"}  # the application segments that tell the colour space
START, END, SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA


def decode_whole(data: bytes, mode: str) -> tuple[bytes, Image | None]:
    """A JPEG of which every block decodes, and its pixels (H×W×C uint8).

    The JPEG is `data` itself, or its picture in a clean file where only what surrounds it is
    damaged. `mode` is Pillow's: RGB, L or CMYK. Pixels are None for sampling factors that this
    decoder does not know. Raises ValueError with the decoder's complaint.
    """
    try:
        return data, decode(data, SPACES[mode])
    except ValueError as error:
        if "subsampling" in str(error):
            return data, None
        complaint = error
    wrapped = wrap_anew(data)
    try:
        return wrapped, decode(wrapped, SPACES[mode])
    except ValueError:
        raise complaint from None


def wrap_anew(data: bytes) -> bytes:
    """The segments that a decoder needs, the coded picture and an end marker.

    Metadata, padding, and bytes between the segments and after the picture are left out.
    """
    kept = [START]
    for marker, segment in _segments(data):
        if marker == SCAN:
            kept.append(_without_padding(segment))
        elif marker < 0xE0:
            kept.append(segment)
        elif segment[4:9] == COLOURS.get(marker):
            kept.append(JFIF if marker == 0xE0 else segment)
    return b"".join([*kept, END])


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and bytes of each segment. The last one is the first scan with all that follows."""
    place = len(START)
    while 0 <= (place := data.find(b"\xff", place)) < len(data) - 4:
        marker = data[place + 1]
        if marker < 0xC0 or 0xD0 <= marker < SCAN or marker == 0xFF:
            place += 1
            continue
        length = 2 + int.from_bytes(data[place + 2 : place + 4])
        yield marker, data[place:] if marker == SCAN else data[place : place + length]
        if marker == SCAN:
            return
        place += length


def _without_padding(scans: bytes) -> bytes:
    end = scans.find(END)
    coded = (scans[:end] if end >= 0 else scans.removesuffix(b"\xff")).rstrip(b"\0")
    return coded + b"\0" if coded.endswith(b"\xff") else coded  # FF 00 is a coded FF
