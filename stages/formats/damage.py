"""What is wrong with a picture that does not decode."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.sample import Reject
from stages.formats import memory
from stages.formats.quiet import warnings_of_this_thread

COMPLAINTS = (
    *(OSError, ValueError, SyntaxError, RuntimeError, EOFError, TypeError, LookupError),
    *(ArithmeticError, struct.error, zlib.error),
)
"""What decoders raise over damaged bytes. Anything else is a fault of ours."""
EARLY_END = ("eoferror", "truncated", "not enough", "end of file", "premature end of jpeg file")


@contextmanager
def decoding(data: bytes) -> Iterator[None]:
    """Around a decoder's work: its complaint becomes the verdict on these bytes.

    Raises Reject (`truncated`, `corrupt`), or MemoryError where memory was what it lacked.
    """
    try:
        with warnings_of_this_thread():
            yield
    except COMPLAINTS as error:
        if memory.lacked(error):
            raise MemoryError(str(error)) from error
        raise verdict(f"{type(error).__name__}: {error}"[:200], data) from error


def verdict(complaint: str, data: bytes) -> Reject:
    """`truncated` or `corrupt`, with the decoder's complaint."""
    if any(sign in complaint.lower() for sign in EARLY_END) or _is_cut_short(data):
        return Reject("truncated", decoder=complaint)
    return Reject("corrupt", decoder=complaint)


def _is_cut_short(data: bytes) -> bool:
    """Whether the file is shorter than its own table of contents says."""
    if data[:4] == b"RIFF":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big") >= len(data)
    return data[4:8] in (b"ftyp", b"jP  ") and _end_of_boxes(data) > len(data)


def _end_of_boxes(data: bytes) -> int:
    """Where the last box of an ISO base media file ends by its own length, in bytes."""
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4])
        if size == 1:  # the length follows in eight bytes
            size = int.from_bytes(data[place + 8 : place + 16])
        place += size if size >= 8 else len(data)  # 0: to the end
    return place
