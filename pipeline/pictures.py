"""JPEGs: decode them and encode them. (Whether a file of the user's is one, `normalize` says.)"""

from __future__ import annotations

import re
from typing import cast

import cv2
import simplejpeg

from pipeline.sample import Image

STRAY = re.compile(r"data: [12] extraneous bytes before marker 0xd9")  # some cameras leave them
QUALITY = 95  # with full chroma (4:4:4): lips are small and red against skin


def decode(data: bytes, space: str = "RGB") -> Image:
    """Bytes of a JPEG to H×W×3 uint8 RGB (×1 of space GRAY, ×4 of CMYK), as it lies: without EXIF
    rotation.

    Raises ValueError where a block of it does not decode: Pillow and OpenCV go on in silence over
    damaged data, and OpenCV hands out what it has even where it cannot go on.
    """
    try:
        return cast(Image, simplejpeg.decode_jpeg(data, space))
    except ValueError as error:
        if not STRAY.search(str(error)):
            raise
        return cast(Image, simplejpeg.decode_jpeg(data, space, strict=False))


def encode(image: Image, quality: int = QUALITY) -> bytes:
    """H×W×3 uint8 RGB to the bytes of a JPEG with full chroma (4:4:4); the same every time."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"cannot encode a picture of shape {image.shape}")
    return bytes(data)


def encode_png(image: Image) -> bytes:
    """H×W×3 uint8 RGB to the bytes of a PNG."""
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"cannot encode a picture of shape {image.shape}")
    return bytes(data)
