"""Find the largest face with OpenCV's Haar cascade; drop pictures without one."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image, Reject, Sample
from stages.face_models import HAAR, installed, load_cascade

if TYPE_CHECKING:
    import cv2

LARGE = 6  # what part of the short side a face is at least that is searched first


@dataclass(frozen=True)
class Faces:
    """Keep pictures with a face, and note where the largest one is."""

    version: ClassVar[int] = 2
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
        """Face boxes (left, top, width, height) of an H×W uint8 picture, largest first.

        Small windows are most of the search and seldom hold the face that matters, so faces of
        at least a sixth of the short side come first, smaller ones only where there is none or
        where `everyone` is wanted.
        """
        if self.exact:
            return self._search(grey, 0)
        coarse = max(self.min_size, min(grey.shape) // LARGE)
        boxes = [] if everyone else self._search(grey, coarse)
        if boxes:
            return boxes
        small, ratio = _reduced(grey, self.max_side)
        boxes = self._search(small, self.min_size)
        return [[round(value * ratio) for value in box] for box in boxes]

    def _search(self, grey: NDArray[np.uint8], smallest: int) -> list[list[int]]:
        boxes = _cascade().detectMultiScale(
            grey,
            scaleFactor=self.scale_factor,
            minNeighbors=self.min_neighbors,
            minSize=(smallest, smallest),
        )
        return sorted(
            ([int(value) for value in box] for box in boxes),
            key=lambda box: (-box[2] * box[3], box),
        )


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


def _cascade() -> cv2.CascadeClassifier:
    """One a thread: it does not pickle, and a search changes it."""
    if not hasattr(_loaded, "cascade"):
        _loaded.cascade = load_cascade(installed(HAAR))
    return _loaded.cascade
