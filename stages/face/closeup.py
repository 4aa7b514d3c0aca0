"""The surroundings of a face at a moderate size, and upright squares cut from them.

┌───────────────────┐    A region is a square that is turned with the face:
│      ╱╲           │    cut out, it is upright, and the picture's border is
│    ╱ ∞  ╲ region  │    repeated where the region leaves the picture.
│   ╲  ‿  ╱         │
│     ╲ ╱   picture │
└───────────────────┘
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.pictures import halved
from pipeline.sample import Image

Points = NDArray[np.float64]
"""N × 2 points (x, y) in pixels."""
Matrix = NDArray[np.float64]
"""2 × 3: from pixels of an upright cut to pixels of the picture."""

FACE = 150  # pixels that a face's side has at least after halving: as many as the models look at
AROUND = 1.25  # sides of the face's box that are kept on each side of its centre


@dataclass(frozen=True)
class Region:
    """A square in the picture: centre and side in pixels, and how far it is turned in radians."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def matrix(self, pixels: int) -> Matrix:
        """From a cut of pixels×pixels to the picture."""
        scale = self.side / pixels
        right = (scale * math.cos(self.angle), scale * math.sin(self.angle))
        down = (-right[1], right[0])
        half = (pixels - 1) / 2
        return np.array(
            [
                [right[0], down[0], self.x - half * (right[0] + down[0])],
                [right[1], down[1], self.y - half * (right[1] + down[1])],
            ]
        )

    def inside(self, width: int, height: int) -> bool:
        """Whether a square of this centre and side, not turned, lies in a picture of that size."""
        half = self.side / 2
        return half <= min(self.x, self.y, width - self.x, height - self.y)


class Closeup:
    """What surrounds a face's box (left, top, width, height) in an H×W×3 uint8 RGB picture.

    A large face is halved first, so that what is cut from it is free of moiré.
    """

    def __init__(self, image: Image, face: list[int]) -> None:
        left, top, width, height = face
        side = max(width, height)
        reach = AROUND * side
        x, y = left + width / 2, top + height / 2
        self._left, self._top = max(0, int(x - reach)), max(0, int(y - reach))
        part = image[self._top : int(y + reach) + 1, self._left : int(x + reach) + 1]
        times = max(1, side // FACE).bit_length() - 1
        self._part, self._scale = halved(part, times), 0.5**times

    def upright(self, region: Region, pixels: int) -> Image:
        """The region as pixels×pixels×3 uint8, turned upright; the border is repeated."""
        import cv2

        matrix = region.matrix(pixels)
        matrix[:, 2] -= self._left - 0.5, self._top - 0.5
        matrix *= self._scale
        matrix[:, 2] -= 0.5
        cut = cv2.warpAffine(
            self._part,
            matrix,
            (pixels, pixels),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(cut, np.uint8)


def moved(points: NDArray[Any], matrix: Matrix) -> Points:
    """Points of a cut in pixels of the picture."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def box_of(points: Points) -> tuple[float, float, float, float]:
    """Left, top, width, height of the box around points."""
    left, top = points.min(axis=0).tolist()
    right, bottom = points.max(axis=0).tolist()
    return left, top, right - left, bottom - top


def turned(points: Points, angle: float) -> Points:
    """Points in a picture that is turned upright, by an angle in radians, around its corner."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.asarray(points @ [[cosine, -sine], [sine, cosine]])


def upright_box(points: Points, angle: float) -> Region:
    """The square around the points' box in a picture that is turned upright by an angle."""
    left, top, width, height = box_of(turned(points, angle))
    centre = np.array([left + width / 2, top + height / 2])
    x, y = turned(centre, -angle).tolist()
    return Region(x, y, max(width, height), angle)
