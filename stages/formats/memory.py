"""What a decoder needs room for, and whether it failed for want of it."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

TILE_WIDTH, TILE_LENGTH = 322, 323  # TIFF tags
WORDS = ("out of memory", "insufficient memory", "memory allocation", "decoder error -9")
HUNGRY = {"AVIF": 11, "HEIF": 11, "JPEG2000": 17, "WEBP": 15}
"""Bytes a pixel that decoders take which do not say when they get none (measured)."""


def pixels(picture: Pillow.Image) -> int:
    """How many a decoder makes room for: all of the picture's, or all of a larger tile's."""
    tags = getattr(picture, "tag_v2", {})
    width, length = tags.get(TILE_WIDTH), tags.get(TILE_LENGTH)
    tile = width * length if isinstance(width, int) and isinstance(length, int) else 0
    return max(picture.width * picture.height, tile)


def webp_pixels(data: bytes) -> int:
    """How many a WebP's header declares, which Pillow does not tell where it gets no memory.

    (RFC 9649, 2.5 to 2.7.)
    """
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif data[12:16] == b"VP8L":
        both = int.from_bytes(data[21:25], "little")
        width, height = both & 0x3FFF, both >> 14 & 0x3FFF
    else:
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return (width + 1) * (height + 1)


def lacked(error: Exception) -> bool:
    """Whether a decoder says that it got no memory."""
    return any(word in str(error).lower() for word in WORDS)


def make(form: str, count: int) -> None:
    """Raises MemoryError where a decoder of so many pixels may have failed for want of memory."""
    np.empty(HUNGRY.get(form, 0) * count, np.uint8)
