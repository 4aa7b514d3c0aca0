"""Cut out the whole face (region `face`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipeline.sample import Sample
from stages.face.crop import cut, padded_share, square_around, square_by_hand


@dataclass(frozen=True)
class FaceCrop:
    """Cut out the face as a square around its box (region face only)."""

    version: ClassVar[int] = 1
    scale: float = 1.2
    """Side of the square, as a multiple of the face box's longer side. Haar's box ends at brows and
    chin.
    """
    size: int = 128
    """Side of the stored crop in pixels; 0 keeps the native size."""

    def __post_init__(self) -> None:
        if self.scale <= 0 or self.size < 0:
            raise ValueError("scale must be over 0, size 0 or more")

    def __call__(self, sample: Sample) -> Sample:
        """The face crop, size×size×3 uint8 RGB.

        Reads the fact `face`. Adds `crop` (left, top, side, side in pixels of the picture) and
        `padded` (the share of the crop that lies outside the picture).
        """
        height, width = sample.image.shape[:2]
        square = square_by_hand(sample.facts)
        if square is None:
            square = square_around(sample.facts["face"], self.scale, width, height)
        crop = cut(sample.image, square, self.size)
        padded = padded_share(square, width, height)
        return sample.with_image(crop, crop=square.box, padded=padded)
