"""Where a Haar cascade fires in a picture: OpenCV's hits, by a faster scan where it is compiled."""

from __future__ import annotations

from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stages.face.cascade import encode, parse
from stages.face.model_files import load_cascade

if TYPE_CHECKING:
    import cv2

try:
    from stages.face import haar_scan
except ImportError:
    COMPILED = False
else:
    COMPILED = True

LARGEST_WINDOW = 1 << 16  # side in pixels: no JPEG is larger


class Haar:
    """A cascade of Haar features, from OpenCV's XML. Not for two threads at once."""

    def __init__(self, path: Path, compiled: bool = COMPILED) -> None:
        """Raises Trouble where `path` holds no cascade."""
        self._path = path
        cascade = parse(path) if compiled else None
        self.tables = encode(cascade) if cascade and cascade.exact else None
        """What the scan reads, stages and stumps; None where OpenCV has to search."""
        self.side = (
            cascade.side if cascade and self.tables else self._opencv.getOriginalWindowSize()[0]
        )
        """Of the smallest window, in pixels."""

    @cached_property
    def _opencv(self) -> cv2.CascadeClassifier:
        return load_cascade(self._path)

    def sizes(self, scale_factor: float) -> dict[int, list[float]]:
        """Sides of windows in pixels, smallest first, and how many times `side` each is.

        detectMultiScale grows its windows like this; by a small factor it searches one side
        more than once.
        """
        return _sizes(self.side, scale_factor)

    def hits(
        self, grey: NDArray[np.uint8], scale_factor: float, least: int, most: int
    ) -> list[list[int]]:
        """Boxes (left, top, width, height) in an H×W picture, for windows of `least` to `most`
        pixels: those of detectMultiScale, called for each size by itself, before it groups them
        and clips them to the picture.
        """
        found: list[list[int]] = []
        for size, factors in self.sizes(scale_factor).items():
            if not least <= size <= min(most, *grey.shape):
                continue
            if self.tables:
                corners = np.concatenate([self._scan(grey, factor) for factor in factors])
            else:
                sides = (size, size)
                boxes = self._opencv.detectMultiScale(grey, scale_factor, 0, 0, sides, sides)
                corners = np.asarray(boxes, np.intp).reshape(-1, 4)[:, :2]
            found += [[left, top, size, size] for left, top in corners.tolist()]
        return found

    def _scan(self, grey: NDArray[np.uint8], factor: float) -> NDArray[np.intp]:
        """N×2: left and top of the hits of windows `factor` times the cascade's own.

        The picture is reduced instead of the window enlarged. Sizes and corners round where
        OpenCV rounds, in single precision.
        """
        import cv2

        assert self.tables is not None
        scale = np.float32(factor)
        height, width = (round(float(np.float32(side) / scale)) for side in grey.shape)
        small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
        step = 1 if scale >= 2 else 2
        found = haar_scan.hits(small, height, width, step, self.side, *self.tables)
        corners = np.frombuffer(found, np.int32).reshape(-1, 2) * scale
        return np.asarray(np.rint(corners), np.intp)


@cache
def _sizes(side: int, scale_factor: float) -> dict[int, list[float]]:
    sizes: dict[int, list[float]] = {}
    factor = 1.0
    while (size := round(side * factor)) <= LARGEST_WINDOW:
        sizes.setdefault(size, []).append(factor)
        factor *= scale_factor
    return sizes
