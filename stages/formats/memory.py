"""How much memory a decoder takes, and whether it failed for lack of it."""

from __future__ import annotations

import resource

import numpy as np
from PIL import Image as Pillow

from pipeline.sample import Reject

TILE_WIDTH, TILE_LENGTH = 322, 323  # TIFF tags
WORDS = ("out of memory", "insufficient memory", "memory allocation", "decoder error -9")
SIXTEEN_BITS = "16 bits a channel"
PEAK = {"AVIF": 11, "HEIF": 11, "JPEG2000": 17, "WEBP": 15, SIXTEEN_BITS: 17}
"""Peak bytes per pixel of decoders that hide an out-of-memory failure, and of depth.brightened
(measured)."""
WORKER = 0.25e9  # bytes of a worker with all its models loaded (measured: 0.16e9) and some to spare


def pixels(picture: Pillow.Image) -> int:
    """Pixels that a decoder makes room for: those of the picture, or of a tile that is larger."""
    tags = getattr(picture, "tag_v2", {})
    width, length = tags.get(TILE_WIDTH), tags.get(TILE_LENGTH)
    tile = width * length if isinstance(width, int) and isinstance(length, int) else 0
    return max(picture.width * picture.height, tile)


def webp_pixels(data: bytes) -> int:
    """Pixels that a WebP's header declares (RFC 9649, 2.5 to 2.7).

    Pillow cannot open the header where it gets no memory for the pixels.
    """
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif data[12:16] == b"VP8L":
        both = int.from_bytes(data[21:25], "little")
        width, height = both & 0x3FFF, both >> 14 & 0x3FFF
    else:
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return (width + 1) * (height + 1)


def check(form: str, count: int) -> None:
    """Raises Reject (`too_large`, with the gigabytes) where a decoder of `count` pixels takes more
    than this process may ever have. A process without a limit has room for all.
    """
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    needed = PEAK.get(form, 0) * count + WORKER
    if limit != resource.RLIM_INFINITY and needed > limit:
        raise Reject("too_large", memory_gigabytes=round(needed / 1e9, 2))


def lacked(error: Exception) -> bool:
    """Whether a decoder says that it got no memory."""
    return any(word in str(error).lower() for word in WORDS)


def claim(form: str, count: int) -> None:
    """Raises MemoryError where a decoder of `count` pixels may have failed for lack of memory."""
    np.empty(PEAK.get(form, 0) * count, np.uint8)
