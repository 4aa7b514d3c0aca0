"""Find the largest face: OpenCV's Haar cascade looks first, BlazeFace second."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from pipeline.sample import Image, Reject, Sample
from stages.face.haar_search import Grey, HaarSearch
from stages.face.model_files import BLAZEFACE, HAAR, installed
from stages.face.second_look import Face, SecondLook


@dataclass(frozen=True)
class Faces:
    """Keep pictures with a face, and note where the largest one is."""

    version: ClassVar[int] = 6
    scale_factor: float = 1.3
    """Each size searched is this many times the next smaller one."""
    min_neighbors: int = 5
    """How many overlapping hits make a face."""
    min_size: int = 48
    """Side of the smallest face searched, in pixels."""
    max_side: int = 1600
    """A picture with a longer side than this, in pixels, is reduced to it before small faces are
    searched.
    """
    exact: bool = False
    """Search every size at full size, whatever `min_size` says, as the published scripts do."""
    second_look: Literal["none", "blazeface"] = "blazeface"
    """blazeface: a network finds faces that Haar misses and drops what Haar wrongly took for a
    face. none: Haar alone, as the published scripts do.
    """

    def __post_init__(self) -> None:
        sizes = min(self.min_size, self.max_side)
        if self.scale_factor <= 1 or self.min_neighbors < 0 or sizes < 1:
            raise ValueError(
                "scale_factor must be over 1, min_neighbors 0 or more, "
                "min_size and max_side 1 or more"
            )

    def models(self) -> tuple[Path, ...]:
        haar = installed(HAAR)
        return (haar,) if self.second_look == "none" else (haar, installed(BLAZEFACE))

    def __call__(self, sample: Sample) -> Sample:
        """Adds `face` (left, top, width, height in pixels), `detector`, who found it, and `faces`,
        how many were seen. Raises Reject: `no_face`.
        """
        if "crop" in sample.facts.get("by_hand", {}):
            return sample  # a person has set the crop: no face is needed
        faces = self.look(sample.image)
        return sample.with_facts(face=faces[0].box, detector=faces[0].detector, faces=len(faces))

    def in_image(self, image: Image, everyone: bool = False) -> list[list[int]]:
        """The boxes of `look`."""
        return [face.box for face in self.look(image, everyone)]

    def look(self, image: Image, everyone: bool = False) -> list[Face]:
        """Faces of an H×W×3 uint8 RGB picture, largest first.

        With `everyone` false the search ends once the largest is known, so smaller ones may be
        missing. Raises Reject: `no_face`.
        """
        import cv2

        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        if self.second_look == "none":
            faces = [Face(box, "haar") for box in self.find(grey, everyone)]
        else:
            faces = self._both(image, grey, everyone)
        if not faces:
            raise Reject("no_face")
        return faces

    def _both(self, image: Image, grey: Grey, everyone: bool) -> list[Face]:
        """Faces by Haar and BlazeFace. Haar's small windows take longer than BlazeFace does:
        where the largest face is enough, they are searched only if nothing else was found.
        """
        look, search = SecondLook(image), self._search
        largest_only = not (everyone or self.exact)
        known = look.confirmed(
            search.large(grey) if largest_only else search(grey, everyone), everyone
        )
        faces = known + look.added(known, everyone)
        if largest_only and not faces:
            faces = look.confirmed(search(grey))
        return sorted(faces, key=lambda face: (-face.box[2] * face.box[3], face.box))

    def find(self, grey: Grey, everyone: bool = False) -> list[list[int]]:
        """Boxes (left, top, width, height) that Haar alone finds in an H×W uint8 picture."""
        return self._search(grey, everyone)

    @property
    def _search(self) -> HaarSearch:
        return HaarSearch(
            self.scale_factor, self.min_neighbors, self.min_size, self.max_side, self.exact
        )
