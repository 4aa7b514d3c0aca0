"""Find the landmarks of the face and cut out the mouth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from pipeline.sample import Facts, Reject, Sample
from stages.face.closeup import Points, box_of
from stages.face.crop import Square, cut, padded_share, square_around, square_by_hand
from stages.face.landmarks import LIPS
from stages.face.model_files import FACE_MESH, LANDMARKS, installed
from stages.face.mouth import Correction, Model, Mouth, find_mouth, glance
from stages.face.plausible import Limits, judge, sharpness


@dataclass(frozen=True)
class Lips:
    """Cut out the mouth as a square around the lips, and drop what is no usable mouth."""

    version: ClassVar[int] = 5
    scale: float = 1.5
    """Side of the square, as a multiple of the longer side of the box around the lip points."""
    size: int = 128
    """Side of the stored crop in pixels; 0 keeps the native size."""
    min_mouth: int = 22
    """Width of the narrowest mouth that is kept, in pixels."""
    landmarks: Model = "dlib"
    """dlib: 68 points, corrected by FaceMesh. mesh: FaceMesh alone, free for commercial use."""
    min_presence: float = 0.9
    """How sure FaceMesh must be that it sees a face, 0 to 1; less is `implausible_face`."""
    min_agreement: float = 0.4
    """How far dlib's and FaceMesh's mouths must overlap (intersection over union of the squares
    around them); less is `implausible_face`. A face cut off by the picture's edge needs more. A
    face turned aside needs more too: over this limit but under its own it is `turned_away`.
    """
    min_sharpness: float = 0.12
    """Variance of the crop's Laplacian, divided by the variance of the crop itself, both at 24×24
    pixels; less is `blurred_mouth`.
    """

    def __post_init__(self) -> None:
        if self.scale <= 0 or self.size < 0:
            raise ValueError("scale must be over 0, size 0 or more")

    def models(self) -> tuple[Path, ...]:
        names = (FACE_MESH,) if self.landmarks == "mesh" else (LANDMARKS, FACE_MESH)
        return tuple(installed(name) for name in names)

    def __call__(self, sample: Sample) -> Sample:
        """The mouth crop, size×size×3 uint8 RGB (native size if `size` is 0).

        Reads the fact `face`. Adds `landmarks` (68 × [x, y] in pixels of the picture; with FaceMesh
        alone, `lips` instead, 20 × [x, y]), `crop` (left, top, side, side in the same pixels),
        `padded` (share of the crop that lies outside the picture), `presence` (0 to 1), `yaw` and
        `roll` (degrees), `agreement` (0 to 1) and `sharpness`.
        Raises Reject: `mouth_too_small`, `implausible_face`, `turned_away`, `blurred_mouth`.

        A crop set by hand is cut as it is, with only `crop` and `padded`; a picture kept by hand is
        not judged.
        """
        by_hand = square_by_hand(sample.facts)
        if by_hand is not None:
            return self._cut_square(sample, by_hand, {})
        mouth = find_mouth(sample.image, sample.facts["face"], self.landmarks)
        cropped = self._cut(sample, mouth.lips, _facts(mouth))
        sharp = sharpness(cropped.image)
        result = cropped.with_facts(sharpness=round(sharp, 3))
        limits = Limits(self.min_presence, self.min_agreement, self.min_sharpness)
        if "by_hand" not in sample.facts:
            judge(mouth, sharp, limits, result.facts)
        return result

    def glance(self, sample: Sample, correction: Correction) -> Sample:
        """The mouth crop at a fraction of the cost, not judged: for a face followed in a video.

        `correction` was measured on a frame shortly before. Adds `landmarks` or `lips`, `crop` and
        `padded`.
        """
        points = glance(sample.image, sample.facts["face"], self.landmarks)
        if self.landmarks == "mesh":
            points = correction(points)
            return self._cut(sample, points, {"lips": _rounded(points)})
        points[LIPS] = correction(points[LIPS])
        return self._cut(sample, points[LIPS], {"landmarks": _rounded(points)})

    def _cut(self, sample: Sample, lips: Points, facts: Facts) -> Sample:
        """Replace the sample's picture by the square around the lips, and add `facts`."""
        box = box_of(np.rint(lips))
        if box[2] < self.min_mouth and "by_hand" not in sample.facts:
            raise Reject("mouth_too_small", mouth=int(box[2]), **facts)
        height, width = sample.image.shape[:2]
        return self._cut_square(sample, square_around(box, self.scale, width, height), facts)

    def _cut_square(self, sample: Sample, square: Square, facts: Facts) -> Sample:
        height, width = sample.image.shape[:2]
        return sample.with_image(
            cut(sample.image, square, self.size),
            **facts,
            crop=square.box,
            padded=padded_share(square, width, height),
        )


def _facts(mouth: Mouth) -> Facts:
    """What the models say of a face."""
    facts: Facts = {
        "presence": round(mouth.mesh.presence, 3),
        "yaw": round(mouth.mesh.yaw, 1),
        "roll": round(mouth.mesh.roll, 1),
    }
    if mouth.landmarks is None:
        return {"lips": _rounded(mouth.lips), **facts}
    assert mouth.agreement is not None, "two models were asked"
    return {
        "landmarks": _rounded(mouth.landmarks),
        **facts,
        "agreement": round(mouth.agreement, 3),
    }


def _rounded(points: Points) -> list[list[int]]:
    """Points as facts hold them."""
    rounded: list[list[int]] = np.rint(points).astype(int).tolist()
    return rounded
