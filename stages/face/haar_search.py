"""The largest face, or everyone's, by a Haar cascade: from the largest windows to the smallest."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stages.face.haar import Haar
from stages.face.model_files import HAAR, installed

Grey = NDArray[np.uint8]

COARSEST = 3  # windows of at least short side / 3 are searched in one call: nearly free
LARGE = 6  # windows of at least short side / 6 are searched at full size: still cheap
ALIKE = 0.2  # hits on one face differ by at most this share of their side (OpenCV's GROUP_EPS)
SMALLEST_HIT = 0.6  # hits below this share of a face's side are never grouped with it


@dataclass(frozen=True)
class HaarSearch:
    """The search of one picture, which looks for no window twice; the fields are settings of the
    stage `faces`.
    """

    scale_factor: float
    min_neighbors: int
    min_size: int
    max_side: int
    exact: bool
    _hits: dict[tuple[int, ...], list[list[int]]] = field(default_factory=dict)
    """By height and width of the picture, full or reduced, and the smallest and largest window."""

    def __call__(self, grey: Grey, everyone: bool = False) -> list[list[int]]:
        """Face boxes (left, top, width, height) of an H×W uint8 picture, largest first.

        With `everyone` false the search ends once the largest face is known, so smaller faces may
        be missing. Small windows take most of the time: they come last, and a picture with a side
        over `max_side` is reduced for them.
        """
        if self.exact:
            return self._search(grey, 1, everyone=True)
        if max(grey.shape) > self.max_side and not everyone:
            boxes = self.large(grey)
            if boxes:
                return boxes
        small, ratio = _reduced(grey, self.max_side)
        boxes = self._search(small, self.min_size, everyone)
        return [[round(value * ratio) for value in box] for box in boxes]

    def large(self, grey: Grey) -> list[list[int]]:
        """The same, of faces of at least a sixth of the short side: a fraction of the time."""
        return self._search(grey, max(self.min_size, min(grey.shape) // LARGE))

    def _search(self, grey: Grey, smallest: int, everyone: bool = False) -> list[list[int]]:
        """The same, with windows of at least `smallest` pixels.

        Hits of all sizes so far are grouped as OpenCV does. All sizes together give what
        detectMultiScale gives, but for a last row of windows: OpenCV leaves it out or not,
        depending on the size it begins with.
        """
        haar, short = _haar(), min(grey.shape)
        sizes = [size for size in haar.sizes(self.scale_factor) if size <= short]
        hits: list[list[int]] = []
        boxes: list[list[int]] = []
        for least, most in _spans(sizes, short):
            known = boxes and not everyone and _is_settled(boxes[0], most, short)
            if most < smallest or known:
                break
            windows = (*grey.shape, max(least, smallest), most)
            if windows not in self._hits:
                self._hits[windows] = haar.hits(grey, self.scale_factor, *windows[2:])
            found = self._hits[windows]
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


def _is_settled(largest: list[int], most: int, short: int) -> bool:
    """Whether the search may stop before windows of `most` pixels and less.

    Either they are too small for their hits to be grouped with the largest face, so they cannot
    move its box; or they are small in the picture, where every further size takes longer than all
    larger ones together.
    """
    return most < SMALLEST_HIT * largest[2] or most < short // LARGE


def _spans(sizes: list[int], short: int) -> Iterator[tuple[int, int]]:
    """Smallest and largest side of the windows searched in one call: first all the large ones
    together, then one size after the other, downwards.
    """
    if large := [size for size in sizes if size >= short // COARSEST]:
        yield large[0], large[-1]
    yield from ((size, size) for size in reversed(sizes) if size < short // COARSEST)


def _reduced(grey: Grey, max_side: int) -> tuple[Grey, float]:
    """The picture with a long side of at most `max_side` pixels, and how much larger it was."""
    import cv2

    height, width = grey.shape
    ratio = max(height, width) / max_side
    if ratio <= 1:
        return grey, 1.0
    size = (max(1, round(width / ratio)), max(1, round(height / ratio)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8), ratio


_loaded = threading.local()


def _haar() -> Haar:
    """One for each thread: a search by OpenCV changes its cascade."""
    if not hasattr(_loaded, "haar"):
        _loaded.haar = Haar(installed(HAAR))
    haar: Haar = _loaded.haar
    return haar
