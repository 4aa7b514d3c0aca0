"""Find the largest face: OpenCV's Haar cascade looks first, BlazeFace second."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image, Reject, Sample
from stages.face.haar_search import HaarSearch
from stages.face.model_files import BLAZEFACE, HAAR, installed
from stages.face.second_look import Face, second_look


@dataclass(frozen=True)
class Faces:
    """Keep pictures with a face, and note where the largest one is."""

    version: ClassVar[int] = 6
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
    second_look: Literal["none", "blazeface"] = "blazeface"
    """A network that finds the faces Haar misses and drops what it takes for a face; none: Haar
    alone, as the published way does."""

    def __post_init__(self) -> None:
        sizes = min(self.min_size, self.max_side)
        if self.scale_factor <= 1 or self.min_neighbors < 0 or sizes < 1:
            raise ValueError("scale_factor must be over 1, min_neighbors and sizes positive")

    def models(self) -> tuple[Path, ...]:
        haar = installed(HAAR)
        return (haar,) if self.second_look == "none" else (haar, installed(BLAZEFACE))

    def __call__(self, sample: Sample) -> Sample:
        """Adds `face` (left, top, width, height in pixels), `detector`, who found it, and `faces`,
        how many were seen. Raises Reject: `no_face`, with Haar's box as `unconfirmed` where only
        Haar saw one.
        """
        if "crop" in sample.facts.get("by_hand", {}):
            return sample  # a person has set the crop: no face is needed
        faces = self.look(sample.image)
        return sample.with_facts(face=faces[0].box, detector=faces[0].detector, faces=len(faces))

    def in_image(self, image: Image, everyone: bool = False) -> list[list[int]]:
        """The boxes of `look`."""
        return [face.box for face in self.look(image, everyone)]

    def look(self, image: Image, everyone: bool = False) -> list[Face]:
        """Faces of an H×W×3 uint8 RGB picture, largest first: those seen by the time the largest
        is known, or `everyone`'s. Raises Reject: `no_face`.
        """
        import cv2

        boxes = self.find(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8), everyone)
        if self.second_look == "none":
            faces = [Face(box, "haar") for box in boxes]
        else:
            faces = second_look(image, boxes, everyone)
        if not faces:
            raise Reject("no_face", **({"unconfirmed": boxes[0]} if boxes else {}))
        return faces

    def find(self, grey: NDArray[np.uint8], everyone: bool = False) -> list[list[int]]:
        """Boxes (left, top, width, height) that Haar alone finds in an H×W uint8 picture."""
        search = HaarSearch(
            self.scale_factor, self.min_neighbors, self.min_size, self.max_side, self.exact
        )
        return search(grey, everyone)
