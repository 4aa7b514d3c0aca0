"""Find the largest face with OpenCV's Haar cascade; drop pictures without one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image, Reject, Sample
from stages.face.haar_search import HaarSearch
from stages.face.model_files import HAAR, installed


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
        boxes = self.in_image(sample.image)
        return sample.with_facts(face=boxes[0], faces=len(boxes))

    def in_image(self, image: Image, everyone: bool = False) -> list[list[int]]:
        """As `find`, of an H×W×3 uint8 RGB picture. Raises Reject: `no_face`."""
        import cv2

        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        boxes = self.find(grey, everyone)
        if not boxes:
            raise Reject("no_face")
        return boxes

    def find(self, grey: NDArray[np.uint8], everyone: bool = False) -> list[list[int]]:
        """Face boxes (left, top, width, height) of an H×W uint8 picture, largest first: those
        seen by the time the largest is known, or `everyone`'s.
        """
        search = HaarSearch(
            self.scale_factor, self.min_neighbors, self.min_size, self.max_side, self.exact
        )
        return search(grey, everyone)
