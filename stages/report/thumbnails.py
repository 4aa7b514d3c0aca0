"""Pictures small enough for a page."""

from __future__ import annotations

import base64
from functools import cache

import numpy as np

from pipeline.pictures import decode, encode
from pipeline.sample import Image
from pipeline.store import Place

SIDE = 96  # pixels of the longer side
QUALITY = 75


@cache
def thumbnail(file: Place | None) -> str:
    """The data address of a small JPEG; "" where the picture cannot be shown."""
    if file is None:
        return ""
    try:
        return address(decode(file.read_bytes()))
    except (OSError, ValueError):
        return ""


def address(image: Image) -> str:
    """An H×W×3 uint8 RGB picture as the data address of a small JPEG."""
    return "data:image/jpeg;base64," + base64.b64encode(small_jpeg(image, SIDE)).decode()


def small_jpeg(image: Image, side: int) -> bytes:
    """An H×W×3 uint8 RGB picture as a JPEG whose longer side is at most `side` pixels."""
    import cv2

    scale = side / max(image.shape[:2])
    if scale < 1:
        size = tuple(max(1, round(length * scale)) for length in image.shape[1::-1])
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encode(image, QUALITY)
