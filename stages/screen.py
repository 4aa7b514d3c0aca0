"""Drop pictures of a useless shape or without content, by what `normalize` measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipeline.sample import Reject, Sample


@dataclass(frozen=True)
class Screen:
    """Drop pictures that are too small, too long for their width, or blank."""

    version: ClassVar[int] = 1
    max_aspect: float = 10.0
    """Long side over short side; more is `odd_aspect`."""
    min_side: int = 32
    """Pixels of the short side; less is `too_small`."""
    min_spread: float = 2.0
    """Standard deviation of the grey values (0 to 127); less is `blank`."""

    def __call__(self, sample: Sample) -> Sample:
        by_hand = sample.facts.get("by_hand")
        if by_hand:
            if by_hand["decision"] == "drop":
                raise Reject("by_hand")
            return sample
        short, long = sorted((sample.facts["width"], sample.facts["height"]))
        if long / short > self.max_aspect:
            raise Reject("odd_aspect", aspect=round(long / short, 1))
        if short < self.min_side:
            raise Reject("too_small", side=short)
        if sample.facts["spread"] < self.min_spread:
            raise Reject("blank", spread=sample.facts["spread"])
        return sample
