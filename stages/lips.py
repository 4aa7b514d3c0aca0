"""Find 68 landmarks inside the face box and cut out the mouth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pipeline.sample import Reject, Sample
from stages.face.crop import cut, padded_share, square_around
from stages.face.landmarks import LIPS, find_landmarks
from stages.face.model_files import LANDMARKS, installed


@dataclass(frozen=True)
class Lips:
    """Cut out the mouth as a square around the lip landmarks."""

    version: ClassVar[int] = 1
    scale: float = 1.5
    """Side of the square, as a multiple of the longer side of the box around the lip points."""
    size: int = 128
    """Side of the stored crop in pixels; 0 keeps the native size."""
    min_mouth: int = 24
    """Width of the narrowest mouth that is kept, in pixels."""

    def __post_init__(self) -> None:
        if self.scale <= 0 or self.size < 0:
            raise ValueError("scale must be over 0, size 0 or more")

    def models(self) -> tuple[Path, ...]:
        return (installed(LANDMARKS),)

    def __call__(self, sample: Sample) -> Sample:
        """The mouth crop, size×size×3 uint8 RGB.

        Reads the fact `face`. Adds `landmarks` (68 × [x, y] in pixels of the picture), `crop`
        (left, top, side, side in the same pixels) and `padded` (the share of the crop that lies
        outside the picture). Raises Reject: `mouth_too_small`.
        """
        points = find_landmarks(sample.image, sample.facts["face"])
        lips = points[LIPS]
        (left, top), (right, bottom) = lips.min(axis=0), lips.max(axis=0)
        if right - left < self.min_mouth:
            raise Reject("mouth_too_small", mouth=int(right - left), landmarks=points.tolist())
        height, width = sample.image.shape[:2]
        box = (float(left), float(top), float(right - left), float(bottom - top))
        square = square_around(box, self.scale, width, height)
        return sample.with_image(
            cut(sample.image, square, self.size),
            landmarks=points.tolist(),
            crop=square.box,
            padded=padded_share(square, width, height),
        )
