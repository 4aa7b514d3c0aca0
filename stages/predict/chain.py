"""From a picture to crops for a model, by the stages that cut the crops it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.sample import Facts, Image, Reject, Sample
from pipeline.trouble import Trouble
from stages.face.mouth import Correction
from stages.face_crop import FaceCrop
from stages.faces import Faces
from stages.lips import Lips
from stages.model.description import Description
from stages.normalize import Normalize


@dataclass(frozen=True)
class Crop:
    """A face that was cut out, or the reason why it was not.

    `facts` may hold `face` and `crop` (left, top, width, height) and `landmarks` (68 × [x, y]),
    in pixels of the upright picture, and `detector`, who found the face. `image` is the crop,
    H×W×3 uint8 RGB. Where there is none, `reason` is a word of the README's table.
    """

    facts: Facts
    image: Image | None = None
    reason: str = ""


@dataclass(frozen=True)
class Chain:
    """The stages a model was trained behind, with the settings of that time.

    Without `faces` and `crop` (region whole) a picture is its own crop.
    """

    normalize: Normalize
    faces: Faces | None = None
    crop: Lips | FaceCrop | None = None
    everyone: bool = False
    """Every face of a picture rather than the largest."""

    @classmethod
    def of(cls, description: Description, everyone: bool = False) -> Chain:
        """Raises Trouble where the settings are not of this version."""
        known: dict[str, Any] = {
            name: _stage(kind, description.stages[name])
            for name, kind in (("normalize", Normalize), ("faces", Faces))
            if name in description.stages
        }
        for name, kind in (("face_crop", FaceCrop), ("lips", Lips)):
            if name in description.stages:
                known["crop"] = _stage(kind, description.stages[name])
        return cls(**({"normalize": Normalize()} | known), everyone=everyone)

    def __call__(self, sample: Sample) -> list[Crop]:
        """A crop for each face of a picture, or one without an image; never empty."""
        try:
            upright = self.normalize(sample)
            faces = self.find(upright.image)
        except Reject as reject:
            return [Crop({}, reason=reject.reason)]
        return [self.cut(upright.image, face) for face in faces]

    def find(self, image: Image) -> list[Facts]:
        """`face` and `detector` of each face of an H×W×3 uint8 RGB picture, largest first.

        For region whole, one without facts. Raises Reject: `no_face`.
        """
        if self.faces is None:
            return [{}]
        found = self.faces.look(image, everyone=self.everyone)
        return [
            {"face": face.box, "detector": face.detector}
            for face in (found if self.everyone else found[:1])
        ]

    def cut(self, image: Image, face: Facts, correction: Correction | None = None) -> Crop:
        """The crop of one of the faces that `find` gives.

        With a correction a mouth is cut at a fraction of the cost, and not judged.
        """
        sample = Sample("", "", Path(), face, pixels=image)
        if self.crop is None:
            return Crop(sample.facts, sample.image)
        try:
            if isinstance(self.crop, Lips) and correction is not None:
                sample = self.crop.glance(sample, correction)
            else:
                sample = self.crop(sample)
        except Reject as reject:
            return Crop(face | reject.measured, reason=reject.reason)
        return Crop(sample.facts, sample.image)


def _stage(kind: type, settings: dict[str, Any]) -> Any:
    try:
        return kind(**settings)
    except (TypeError, ValueError) as error:
        raise Trouble(f"the model's settings do not fit this version: {error}") from error
