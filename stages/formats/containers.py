"""Video containers: how their files begin, and whether a file is as long as it says."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

FORMATS = (
    "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "flv", "mpeg", "mpegts",
    "ogg", "asf",
)  # fmt: skip
"""FFmpeg's names of the containers that are opened. A playlist or a script that names further
files is none of them: nothing that a folder of pictures should set going."""

BEGINNINGS = (
    (0, b"\x1aE\xdf\xa3"), (8, b"AVI "), (0, b"FLV\x01"), (0, b"\x00\x00\x01\xba"), (0, b"OggS"),
    (0, b"0&\xb2u\x8ef\xcf\x11"), (4, b"moov"), (4, b"mdat"), (4, b"wide"),
)  # fmt: skip
"""At which byte such a container has which sign."""

MOST = 1_000_000  # parts of a container that are looked at: hours of a live recording

PACKETS = ((0, 188), (4, 192))
"""Where the first packet of a transport stream has its sign, the letter G, and how long packets
are: plain ones, and a camcorder's (M2TS, MTS) with four bytes of time before each."""


def is_video(path: Path) -> bool:
    """Whether a file begins as one of the video containers that are opened, whatever its name."""
    from stages.formats.signatures import BRANDS

    try:
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError:
        return False  # reading it as a picture will say why
    if head[4:8] == b"ftyp":
        return head[8:12] not in BRANDS
    signed = any(head[at : at + len(sign)] == sign for at, sign in BEGINNINGS)
    return signed or any(head[at::length].startswith(b"GGGGG") for at, length in PACKETS)


def ends_early(path: Path) -> bool:
    """Whether the file is shorter than its container says.

    Transport and program streams, Ogg, FLV and ASF do not say, nor do live recordings.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF":
            return _riff_ends_early(file, size)
        if head[:4] == b"\x1aE\xdf\xa3":
            return _matroska_ends_early(file, size)
        return _boxes_end_early(file, size)


def _riff_ends_early(file: BinaryIO, size: int) -> bool:
    """Whether one of the RIFF chunks does; a large AVI has several."""
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(8)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or length in (0, 2**32 - 1):  # 0: a recording that was cut off
            return False
        place += 8 + length
        if place > size:
            return True
        place += length % 2
    return False


def _boxes_end_early(file: BinaryIO, size: int) -> bool:
    """Whether a box of an MP4 or MOV does that holds frames or says where they are."""
    place = 0
    for _ in range(MOST):
        if place >= size:
            break
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4])
        if length == 1:  # the length follows in eight bytes
            length = int.from_bytes(head[8:16])
        if length < 8:  # 0: to the end of the file
            return False
        place += length
        if place > size:
            return head[4:8] in (b"mdat", b"moov", b"moof")
    return False


def _matroska_ends_early(file: BinaryIO, size: int) -> bool:
    """Whether the segment does or, in one of unknown length, an element within."""
    place = 0
    for _ in range(MOST):
        if place >= size:
            break
        file.seek(place)
        head, content = _element(file.read(12))
        if not head:
            return False
        place += head + (content or 0)
        if place > size:
            return True
    return False


def _element(data: bytes) -> tuple[int, int | None]:
    """Bytes of a Matroska element's head (0: none begins here) and content (None: not known).

    A number's width is one byte more than the zero bits it begins with; a length of ones alone is
    unknown (RFC 8794).
    """
    name = 9 - data[0].bit_length()
    if name > 4 or len(data) <= name:
        return 0, None
    width = 9 - data[name].bit_length()
    if width > 8:
        return 0, None
    number = int.from_bytes(data[name : name + width])
    mark = 1 << (7 * width)
    return name + width, None if number == 2 * mark - 1 else number - mark
