"""Expressions made from one portrait by moving its landmarks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image
from stages.face.landmarks import find_landmarks
from stages.faces import Faces

Points = NDArray[np.float64]

UPPER_OUTER, LOWER_OUTER, LOWER_INNER = slice(49, 54), slice(55, 60), slice(65, 68)
DARK, LIPS = (58, 18, 20), (176, 66, 78)


def portrait() -> tuple[Image, Points]:
    """The portrait (512×512 RGB) and its 68 landmarks (68×2, pixels)."""
    import cv2
    from skimage import data

    image = np.asarray(data.astronaut(), dtype=np.uint8)
    face = Faces().find(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
    return image, find_landmarks(image, face).astype(np.float64)


def _closed(points: Points) -> Points:
    """The mouth shut: the inner lips meet, the outer ones follow."""
    moved = points.copy()
    seam = (points[61:64, 1] + points[[67, 66, 65], 1]) / 2
    moved[61:64, 1] = seam - 0.4
    moved[[67, 66, 65], 1] = seam + 0.4
    lift = (points[[67, 66, 65], 1] - seam).mean()
    moved[UPPER_OUTER, 1] += 0.55 * lift
    moved[LOWER_OUTER, 1] -= 0.75 * lift
    return moved


def none(points: Points, rng: np.random.Generator) -> Points:
    """Closed and level: the corners move down and in."""
    moved = _closed(points)
    strength = rng.uniform(0.8, 1.2)
    width = points[54, 0] - points[48, 0]
    _corners(moved, inward=0.08 * width * strength, up=-0.1 * width * strength)
    return moved


def pouting(points: Points, rng: np.random.Generator) -> Points:
    """Closed, the corners drawn together, the lips pushed out thick."""
    moved = _closed(points)
    strength = rng.uniform(0.9, 1.1)
    width = points[54, 0] - points[48, 0]
    centre = points[48:68, 0].mean()
    moved[48:68, 0] = centre + (moved[48:68, 0] - centre) * (1 - 0.45 * strength)
    _corners(moved, inward=0, up=-0.12 * width * strength)
    moved[UPPER_OUTER, 1] -= 0.09 * width * strength
    moved[LOWER_OUTER, 1] += 0.17 * width * strength
    moved[31:36, 1] -= 0.02 * width * strength
    return moved


def smile(points: Points, rng: np.random.Generator) -> Points:
    """The portrait smiles already: the corners move a little further out and up."""
    moved = points.copy()
    width = points[54, 0] - points[48, 0]
    strength = rng.uniform(0, 1)
    _corners(moved, inward=-0.05 * width * strength, up=0.06 * width * strength)
    return moved


def openmouth(points: Points, rng: np.random.Generator) -> Points:
    """The jaw dropped: lower lip and chin go down, the corners in."""
    moved = points.copy()
    width = points[54, 0] - points[48, 0]
    strength = rng.uniform(0.8, 1.2)
    drop = 0.55 * width * strength
    _corners(moved, inward=0.14 * width * strength, up=-0.2 * width * strength)
    moved[LOWER_OUTER, 1] += drop
    moved[LOWER_INNER, 1] += drop
    moved[6:11, 1] += 0.6 * drop
    return moved


POSES: dict[str, Callable[[Points, np.random.Generator], Points]] = {
    "none": none,
    "pouting": pouting,
    "smile": smile,
    "openmouth": openmouth,
}


def _corners(points: Points, inward: float, up: float) -> None:
    """Move the mouth's corners; their neighbours on the outer lip go half the way."""
    left = ((48, 1.0), (60, 1.0), (49, 0.5), (59, 0.5))
    right = ((54, 1.0), (64, 1.0), (53, 0.5), (55, 0.5))
    for index, share in left:
        points[index] += (inward * share, -up * share)
    for index, share in right:
        points[index] += (-inward * share, -up * share)


def warp(image: Image, before: Points, after: Points) -> Image:
    """The portrait with its landmarks moved from `before` to `after` (68×2, pixels). The rest
    follows smoothly.
    """
    import cv2
    from scipy.interpolate import RBFInterpolator

    opened = (after[66, 1] - after[62, 1]) - (before[66, 1] - before[62, 1])
    if opened < 0:
        image = _without_teeth(image, before)
    height, width = image.shape[:2]
    edges = [(x, y) for x in (0, width // 2, width - 1) for y in (0, height // 2, height - 1)]
    still = np.vstack([_around(before), np.array(edges)])
    shift = np.vstack([before - after, np.zeros_like(still)])
    field = RBFInterpolator(np.vstack([after, still]), shift, kernel="thin_plate_spline")
    rows, columns = np.mgrid[0:height:4, 0:width:4]
    coarse = field(np.column_stack([columns.ravel(), rows.ravel()])).reshape(*rows.shape, 2)
    moves = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    grid = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    warped = cv2.remap(image, grid + moves, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if opened < 0:
        warped = _tint(warped, after[48:60], LIPS, 0.4)
        return _tint(warped, after[60:65], DARK, 0.6, line=True)
    if opened > 4:
        inner = after[60:68].copy()
        inner[1:4, 1] += 0.28 * opened  # the upper teeth show
        return _tint(warped, inner, DARK, 1.0)
    return np.asarray(warped, dtype=np.uint8)


def _without_teeth(image: Image, points: Points) -> Image:
    """The portrait with the gap between the lips filled by the lips' own colour."""
    import cv2

    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(points[60:68]).astype(np.int32)], 255)
    return np.asarray(
        cv2.inpaint(image, cv2.dilate(mask, np.ones((5, 5), np.uint8)), 4, cv2.INPAINT_TELEA),
        dtype=np.uint8,
    )


def _around(points: Points) -> Points:
    """Places on cheeks and temples, outside the landmarks, that stay put."""
    centre: Points = points[30]
    return centre + (points[[0, 2, 14, 16, 19, 24]] - centre) * 1.3


def _tint(
    image: Image, shape: Points, colour: tuple[int, int, int], strength: float, line: bool = False
) -> Image:
    """Blend a colour into an area or along a line, with soft edges."""
    import cv2

    mask = np.zeros(image.shape[:2], np.float32)
    corners = [np.round(shape).astype(np.int32)]
    if line:
        cv2.polylines(mask, corners, False, strength, 2)
    else:
        cv2.fillPoly(mask, corners, strength)
    soft = cv2.GaussianBlur(mask, (0, 0), 1.2)[..., None]
    return np.asarray(
        np.rint(image * (1 - soft) + np.array(colour, np.float32) * soft), dtype=np.uint8
    )
