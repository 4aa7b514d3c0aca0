"""Drop pictures that are there already. (Copies to the byte; likeness is not judged.)"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.sample import Decision, Reject, Sample


@dataclass(frozen=True)
class Dedupe:
    """Keep one of each set of identical pictures: the first by key."""

    version: ClassVar[int] = 1

    def __call__(self, samples: Sequence[Sample]) -> Iterable[Decision]:
        first: dict[str, str] = {}
        for sample in sorted(samples, key=lambda one: one.key):
            original = first.setdefault(sample.digest, sample.key)
            copy = original != sample.key
            yield Decision(sample, Reject("duplicate", of=original) if copy else None)
