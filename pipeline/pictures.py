"""Our own JPEGs: decode them and encode them. (Pictures of the user's are read by `normalize`.)"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from pipeline.sample import Image

QUALITY = 95  # with full chroma (4:4:4): lips are small and red against skin


def decode(data: bytes) -> Image:
    """Bytes of a JPEG to H×W×3 uint8 RGB, as it lies (no EXIF rotation).

    Raises ValueError where they do not decode to the last row.
    """
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ValueError("not a whole JPEG")
    return cast(Image, image)


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
