"""Find the largest face with OpenCV's Haar cascade; drop pictures without one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image, Reject, Sample
from stages.face.haar import Haar
from stages.face.model_files import HAAR, installed

HUGE = 3  # what part of the short side a face is at least that costs next to nothing to find
LARGE = 6  # what part of the short side a face is at least that is searched at full size
ALIKE = 0.2  # how far apart two hits on one face may lie, in their sides (OpenCV's GROUP_EPS)
NO_MORE = 0.6  # of a face's side: smaller hits lie too far from its edges to count for it


@dataclass(frozen=True)
class Faces:
    """Keep pictures with a face, and note where the largest one is."""

    version: ClassVar[int] = 5
    scale_factor: float = 1.3
    """Ratio between two sizes searched."""
    min_neighbors: int = 5
    """How many overlapping hits make a face."""
    min_size: int = 48
    """Side of the smallest face searched, in pixels."""
    max_side: int = 1600
    """Small faces in a larger picture are searched with it reduced to this long side, in pixels."""
    exact: bool = False
    """Search every size at full size, whatever `min_size` says, as the published way does."""

    def __post_init__(self) -> None:
        sizes = min(self.min_size, self.max_side)
        if self.scale_factor <= 1 or self.min_neighbors < 0 or sizes < 1:
            raise ValueError("scale_factor must be over 1, min_neighbors and sizes positive")

    def models(self) -> tuple[Path, ...]:
        return (installed(HAAR),)

    def __call__(self, sample: Sample) -> Sample:
        """Adds `face` (left, top, width, height in pixels) and `faces`, how many were seen."""
        found = self.in_image(sample.image)
        return sample.with_facts(face=found[0], faces=len(found))

    def in_image(self, image: Image, everyone: bool = False) -> list[list[int]]:
        """As `find`, of an H×W×3 RGB picture. Raises Reject: `no_face`."""
        import cv2

        found = self.find(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8), everyone)
        if not found:
            raise Reject("no_face")
        return found

    def find(self, grey: NDArray[np.uint8], everyone: bool = False) -> list[list[int]]:
        """Face boxes (left, top, width, height) of an H×W uint8 picture, largest first: those
        seen by the time that the largest is known, or `everyone`'s.

        Small windows are most of the search, so they come last and, in a picture over `max_side`,
        with it reduced.
        """
        if self.exact:
            return self._search(grey, 1, True)
        if max(grey.shape) > self.max_side and not everyone:
            boxes = self._search(grey, max(self.min_size, min(grey.shape) // LARGE))
            if boxes:
                return boxes
        small, ratio = _reduced(grey, self.max_side)
        boxes = self._search(small, self.min_size, everyone)
        return [[round(value * ratio) for value in box] for box in boxes]

    def _search(
        self, grey: NDArray[np.uint8], smallest: int, everyone: bool = False
    ) -> list[list[int]]:
        """As `find`, with windows of `smallest` pixels and more.

        The hits of one size after the other are grouped as OpenCV does: all sizes together give
        what detectMultiScale gives for them, but for a last row of windows that it may leave out:
        whether it does depends on the size that it begins with.
        """
        haar = _haar()
        short = min(grey.shape)
        hits: list[list[int]] = []
        boxes: list[list[int]] = []
        sizes = [size for size in haar.sizes(self.scale_factor) if size <= short]
        for least, most in _spans(sizes, short):
            enough = max(short // LARGE, NO_MORE * boxes[0][2]) if boxes and not everyone else 0
            if most < max(smallest, enough):
                break
            found = haar.hits(grey, self.scale_factor, max(least, smallest), most)
            if found:
                hits += found
                boxes = self._grouped(hits, grey.shape)
        return boxes

    def _grouped(self, hits: list[list[int]], shape: tuple[int, ...]) -> list[list[int]]:
        """Boxes largest first, grouped and clipped to the picture as detectMultiScale does."""
        import cv2

        boxes = np.asarray(cv2.groupRectangles(hits, self.min_neighbors, ALIKE)[0], int)
        boxes = boxes.reshape(-1, 4)
        boxes[:, 2:] = np.minimum(boxes[:, 2:], np.array(shape[::-1]) - boxes[:, :2])
        return sorted(boxes.tolist(), key=lambda box: (-box[2] * box[3], box))


def _spans(sizes: list[int], short: int) -> Iterator[tuple[int, int]]:
    """Sides of windows, from … to …, that are searched together: the largest, which cost next to
    nothing, then one by one.
    """
    if together := [size for size in sizes if size >= short // HUGE]:
        yield together[0], together[-1]
    yield from ((size, size) for size in reversed(sizes) if size < short // HUGE)


def _reduced(grey: NDArray[np.uint8], max_side: int) -> tuple[NDArray[np.uint8], float]:
    """The picture with a long side of at most `max_side`, and how much larger it was."""
    import cv2

    height, width = grey.shape
    ratio = max(height, width) / max_side
    if ratio <= 1:
        return grey, 1.0
    size = (max(1, round(width / ratio)), max(1, round(height / ratio)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8), ratio


_loaded = threading.local()


def _haar() -> Haar:
    """One a thread: a search by OpenCV changes its cascade."""
    if not hasattr(_loaded, "haar"):
        _loaded.haar = Haar(installed(HAAR))
    haar: Haar = _loaded.haar
    return haar
