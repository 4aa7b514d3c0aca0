"""Whether two pictures that are near by their hashes show the same in every part."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image

SIDE, BLOCK = 128, 8  # pixels of the pictures compared, and of their blocks
SPREAD = 50.0  # grey levels: the contrast that differences are measured at
MOST = 10.0  # grey levels: docs/likeness.md has what copies and other expressions come to


def is_same(one: Image, other: Image) -> bool:
    """Whether two H×W×3 uint8 RGB pictures differ by size, compression, light or a mirror alone.

    A next frame, another expression, a watermark: any change of one part is too much. So is a crop.
    """
    return difference(one, other) <= MOST


def difference(one: Image, other: Image) -> float:
    """Grey levels by which the worst block differs, other as it is or mirrored; any sizes."""
    first, second = _small(one), _small(other)
    return min(_worst_block(first, second), _worst_block(first, second[:, ::-1]))


def _small(image: Image) -> NDArray[np.float64]:
    """The picture in grey, SIDE×SIDE, softened: what compression adds is finer."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    way = cv2.INTER_AREA if min(grey.shape) >= SIDE else cv2.INTER_LINEAR
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=way)
    soft: NDArray[np.float64] = cv2.GaussianBlur(small.astype(np.float64), (0, 0), 1)
    return soft


def _worst_block(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Root mean square difference in the worst block, brightness and contrast made equal."""
    one, other = ((part - part.mean()) * (SPREAD / max(part.std(), 1e-6)) for part in (one, other))
    blocks = np.square(one - other).reshape(SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK)
    return float(np.sqrt(blocks.mean(axis=(1, 3)).max()))
