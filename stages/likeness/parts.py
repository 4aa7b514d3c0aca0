"""Whether two pictures that are near by their hashes show the same in every part."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image

Grey = NDArray[np.float32]

SIDE, BLOCK = 128, 8  # pixels of the pictures compared, and of their blocks
SPREAD = 50.0  # grey levels: the contrast that differences are measured at
MOST = 10.0  # grey levels: docs/likeness.md has what copies and other expressions come to
OVERLAP = 0.6  # least share of the picture that both must show
STEPS = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4  # of the alignment


def is_same(one: Image, other: Image) -> bool:
    """Whether two H×W×3 uint8 RGB pictures differ by size, crop, compression, light or a mirror
    alone.

    A next frame, another expression, a watermark: any change within the picture is too much.
    """
    return difference(one, other) <= MOST


def difference(one: Image, other: Image) -> float:
    """Grey levels by which the worst block differs, `other` laid over `one`, as it is or mirrored.

    Infinite where the two cannot be laid over each other.
    """
    first, second = _small(one), _small(other)
    turned = np.ascontiguousarray(second[:, ::-1])
    return min(_worst_block(first, second), _worst_block(first, turned))


def _small(image: Image) -> Grey:
    """The picture in grey, SIDE×SIDE, softened: what compression adds is finer."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    way = cv2.INTER_AREA if min(grey.shape) >= SIDE else cv2.INTER_LINEAR
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=way)
    soft: Grey = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 1)
    return soft


def _worst_block(one: Grey, other: Grey) -> float:
    """Root mean square difference in the worst block, brightness and contrast made equal."""
    try:
        _, shift = cv2.findTransformECC(
            one, other, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, STEPS, None, 5
        )
    except cv2.error:  # they have too little in common
        return np.inf
    laid, shown = _laid_over(other, shift), _laid_over(np.ones_like(other), shift) > 0.999
    if shown.mean() < OVERLAP:
        return np.inf
    levels = [
        (part - part[shown].mean()) * (SPREAD / max(float(part[shown].std()), 1e-6))
        for part in (one, laid)
    ]
    squares = _by_block(np.where(shown, levels[0] - levels[1], 0) ** 2)
    pixels = _by_block(shown.astype(np.float32))
    full = pixels > 0.5
    return float(np.sqrt((squares[full] / pixels[full]).max()))


def _laid_over(picture: Grey, shift: NDArray[np.float32]) -> Grey:
    way = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid: Grey = cv2.warpAffine(picture, shift, (SIDE, SIDE), flags=way)
    return laid


def _by_block(values: Grey) -> Grey:
    """Means of the blocks."""
    rows = SIDE // BLOCK
    means: Grey = values.reshape(rows, BLOCK, rows, BLOCK).mean(axis=(1, 3))
    return means
