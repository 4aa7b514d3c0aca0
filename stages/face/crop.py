"""Square crops: where they lie, how they are cut, and how far boxes overlap.

┌─────────────────────────┐   The box is widened to a square around its own centre:
│ picture                 │   side = scale × the box's longer side. A square that leaves
│        ┌ ─ ─ ─ ─ ─ ┐    │   the picture is moved back inside; it is never shrunk. A
│          ┌───────┐      │   square that is larger than the picture is centred on it,
│        │ │ box   │ │    │   and the picture's border is repeated to fill it.
│          └───────┘      │
│        └ ─ square ─┘    │
└─────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image

Box = tuple[float, float, float, float]
"""Left, top, width, height in pixels."""


@dataclass(frozen=True)
class Square:
    """Left, top and side in pixels. Where it is larger than the picture, it starts before 0."""

    left: int
    top: int
    side: int

    @property
    def box(self) -> list[int]:
        """Left, top, width, height: as facts have it."""
        return [self.left, self.top, self.side, self.side]


def square_around(box: Sequence[float], scale: float, width: int, height: int) -> Square:
    """The square around a box in a picture of width × height pixels.

    Its side is `scale` × the longer side of the box, at least one pixel.
    """
    left, top, box_width, box_height = box
    side = max(1, round(scale * max(box_width, box_height)))
    return Square(
        _inside(left + box_width / 2, side, width),
        _inside(top + box_height / 2, side, height),
        side,
    )


def square_by_hand(facts: Mapping[str, Any]) -> Square | None:
    """The square that a person set, by the fact `by_hand`."""
    crop = facts.get("by_hand", {}).get("crop")
    return Square(*crop) if crop else None


def _inside(centre: float, side: int, length: int) -> int:
    """Where a stretch of `side` pixels around a centre begins, moved to lie inside 0 … length."""
    if side > length:
        return -((side - length) // 2)
    return min(max(round(centre - side / 2), 0), length - side)


def padded_share(square: Square, width: int, height: int) -> float:
    """The share of the square that lies outside the picture, 0 to 1."""
    seen = min(square.side, width) * min(square.side, height)
    return round(1 - seen / square.side**2, 4)


def cut(image: Image, square: Square, size: int) -> Image:
    """The square's pixels of an H×W×3 uint8 picture, resized to size×size×3 (size 0: not resized).

    Shrinks by area, enlarges by cubic interpolation.
    """
    import cv2

    height, width = image.shape[:2]
    right, bottom = square.left + square.side, square.top + square.side
    piece = image[max(0, square.top) : bottom, max(0, square.left) : right]
    if square.side > min(width, height):
        piece = cast(
            Image,
            cv2.copyMakeBorder(
                piece,
                max(0, -square.top),
                max(0, bottom - height),
                max(0, -square.left),
                max(0, right - width),
                cv2.BORDER_REPLICATE,
            ),
        )
    if size and size != square.side:
        way = cv2.INTER_AREA if size < square.side else cv2.INTER_CUBIC
        piece = cast(Image, cv2.resize(piece, (size, size), interpolation=way))
    return np.ascontiguousarray(piece)


def square(image: Image, side: int) -> Image:
    """The middle of an H×W×3 uint8 picture as side×side×3; the same array where it is that size."""
    import cv2

    height, width = image.shape[:2]
    if height == width == side:
        return image
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    middle = image[top : top + short, left : left + short]
    way = cv2.INTER_AREA if side < short else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(middle, (side, side), interpolation=way), dtype=np.uint8)


def overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two boxes (left, top, width, height), 0 to 1."""
    return float(overlaps(np.asarray(first), np.asarray(second)))


def overlaps(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """The same of …×4 boxes; the leading axes are broadcast."""
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., :2] + first[..., 2:], second[..., :2] + second[..., 2:])
    shared = np.prod((high - low).clip(0), axis=-1)
    both = np.prod(first[..., 2:], axis=-1) + np.prod(second[..., 2:], axis=-1)
    return np.asarray(shared / np.maximum(both - shared, np.finfo(float).tiny))
