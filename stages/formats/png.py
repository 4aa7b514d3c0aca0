"""Whether a PNG has all its rows, and its pixels without the chunks that only describe them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""First column, first row, step in columns, step in rows of each pass (PNG specification, 8.2)."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
PIECE = 1 << 20  # bytes


def wrap_anew(data: bytes) -> bytes:
    """The chunks that make the pixels, up to the first with a wrong checksum, and an end chunk."""
    kept = [SIGNATURE]
    for name, chunk in _chunks(data):
        if name in PIXELS:
            if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
                break
            kept.append(chunk)
    return b"".join([*kept, struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))])


def has_all_rows(data: bytes) -> bool:
    """Whether the compressed data of a PNG are as long as its header says.

    Pillow leaves rows that are missing black.
    """
    chunks = list(_chunks(data))
    missing = sum(_row_bytes(chunk[8:-4]) for name, chunk in chunks[:1] if name == b"IHDR")
    packed = io.BytesIO(b"".join(chunk[8:-4] for name, chunk in chunks if name == b"IDAT"))
    inflate = zlib.decompressobj()
    try:
        while missing > 0 and (piece := inflate.unconsumed_tail or packed.read(PIECE)):
            missing -= len(inflate.decompress(piece, PIECE))
    except zlib.error:
        return False
    return bool(chunks) and missing <= 0


def _row_bytes(header: bytes) -> int:
    """Bytes of all rows of all passes, each with its filter's number before it."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    total = 0
    for left, top, right, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * depth * CHANNELS[colour] // 8))
    return total


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and bytes (length, name, content, checksum) of each whole chunk."""
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4])
        if place + 12 + length <= len(data):
            yield data[place + 4 : place + 8], data[place : place + 12 + length]
        place += 12 + length
