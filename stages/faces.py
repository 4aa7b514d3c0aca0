"""Find the largest face with OpenCV's Haar cascade; drop pictures without one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Reject, Sample
from stages.face_models import HAAR, installed, load_cascade

if TYPE_CHECKING:
    import cv2


@dataclass(frozen=True)
class Faces:
    """Keep pictures with a face, and note where the largest one is."""

    version: ClassVar[int] = 1
    scale_factor: float = 1.3
    """Ratio between two sizes searched."""
    min_neighbors: int = 5
    """How many overlapping hits make a face."""
    min_size: int = 48
    """Side of the smallest face searched, in pixels."""
    exact: bool = False
    """Search all sizes at once, as the published way does, rather than from large to small."""

    def __post_init__(self) -> None:
        if self.scale_factor <= 1 or self.min_neighbors < 0 or self.min_size < 1:
            raise ValueError(
                "scale_factor must be over 1, min_neighbors 0 or more, min_size 1 or more"
            )

    def models(self) -> tuple[Path, ...]:
        return (installed(HAAR),)

    def __call__(self, sample: Sample) -> Sample:
        """Adds `face` (left, top, width, height in pixels) and `faces`, how many were seen."""
        import cv2

        grey = cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY)
        found = self.find(grey)
        if not found:
            raise Reject("no_face")
        return sample.with_facts(face=found[0], faces=len(found))

    def find(self, grey: NDArray[np.uint8]) -> list[list[int]]:
        """Face boxes of an H×W uint8 picture, largest first.

        Small windows are most of the search and seldom hold the face that matters, so faces of
        at least a fifth of the short side come first, smaller ones only where there is none.
        """
        large = min(grey.shape) // 5
        for smallest in (self.min_size,) if self.exact else (large, self.min_size):
            if smallest >= self.min_size:
                boxes = self._search(grey, smallest)
                if boxes:
                    return boxes
        return []

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


@cache
def _cascade() -> cv2.CascadeClassifier:
    """One a process: it does not pickle."""
    return load_cascade(installed(HAAR))
