"""Pictures small enough for a page, as data addresses."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from pipeline.pictures import decode, encode
from pipeline.sample import Image

SIDE = 96  # pixels of the longer side
QUALITY = 75


@cache
def thumbnail(file: Path | None, box: tuple[int, int, int, int] | None = None) -> str:
    """The address of a JPEG of at most 96×96; "" where the picture cannot be shown.

    `box` (left, top, width, height in the picture's pixels) is drawn where it is given.
    """
    if file is None:
        return ""
    try:
        image = decode(file.read_bytes())
    except (OSError, ValueError):
        return ""
    return address(image, box)


def address(image: Image, box: Sequence[int] | None = None) -> str:
    """An H×W×3 uint8 RGB picture as the address of a small JPEG."""
    import cv2

    if box is not None:
        image = image.copy()
        left, top, width, height = box
        thick = max(1, max(image.shape) // 100)
        cv2.rectangle(image, (left, top), (left + width, top + height), (230, 40, 110), thick)
    scale = SIDE / max(image.shape[:2])
    if scale < 1:
        size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return "data:image/jpeg;base64," + base64.b64encode(encode(image, QUALITY)).decode()
