"""Find 68 landmarks inside the face box and cut out the mouth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pipeline.sample import Image, Reject, Sample
from stages.face.crop import cut, padded_share, square_around
from stages.face.model_files import LANDMARKS, installed

LIP_POINTS = slice(48, 68)  # outer lips 48–59, inner lips 60–67 (iBUG 300-W numbering)


@dataclass(frozen=True)
class Lips:
    """Cut out the mouth as a square around the lip landmarks."""

    version: ClassVar[int] = 1
    scale: float = 1.5
    """Side of the square in longer sides of the box around the lip points."""
    size: int = 128
    """Side of the stored crop in pixels; 0 keeps the native size."""
    min_mouth: int = 24
    """Width of the narrowest mouth kept, in pixels."""

    def __post_init__(self) -> None:
        if self.scale <= 0 or self.size < 0:
            raise ValueError("scale must be over 0, size 0 or more")

    def models(self) -> tuple[Path, ...]:
        return (installed(LANDMARKS),)

    def __call__(self, sample: Sample) -> Sample:
        """Adds `landmarks` (68 × [x, y]), `crop` (left, top, side, side), `padded` (share)."""
        points = landmarks(sample.image, sample.facts["face"])
        lips = points[LIP_POINTS]
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


def landmarks(image: Image, face: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """68 × 2 points (x, y) of the face in a box (left, top, width, height) of an RGB picture."""
    import dlib

    left, top, width, height = face
    box = dlib.rectangle(left, top, left + width - 1, top + height - 1)
    shape = _predictor()(image, box)
    return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.int64)


@cache
def _predictor() -> Any:
    """One predictor a process: 100 MB, half a second to load."""
    import dlib

    return dlib.shape_predictor(str(installed(LANDMARKS)))
