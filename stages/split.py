"""Divide the crops into train and val, 9:1 per label, the same way every time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from pipeline.files import digest, output_name
from pipeline.labels import split_of
from pipeline.sample import Decision, Sample
from pipeline.tables import csv_text


@dataclass(frozen=True)
class Split:
    """Divide the crops into dataset/train and dataset/val, label by label."""

    version: ClassVar[int] = 1
    tables: ClassVar[tuple[str, ...]] = ("metadata.csv",)
    val: float = 0.1
    """Share of each label that goes to val, rounded down to whole pictures."""
    seed: int = 0
    """Another number gives another draw."""

    def __post_init__(self) -> None:
        if not 0 <= self.val < 1:
            raise ValueError("val must be 0 or more and under 1")

    def __call__(self, samples: Sequence[Sample]) -> Iterable[Decision]:
        """Pictures that came as train, val or test stay so; where no val came, train is divided."""
        given = {split_of(sample.key) for sample in samples}
        open_ones: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            split = split_of(sample.key)
            if split == "" or (split == "train" and "val" not in given):
                open_ones[sample.label].append(sample)
            else:
                yield Decision(sample, within=split)
        for label in open_ones.values():
            drawn = sorted(label, key=lambda sample: self._draw(sample.key))
            count = int(len(drawn) * Fraction(str(self.val)))
            for place, sample in enumerate(drawn):
                yield Decision(sample, within="val" if place < count else "train")

    def _draw(self, key: str) -> str:
        """A picture's lot depends on its key alone, so it seldom changes sides as a set grows."""
        return digest(f"{self.seed} {key}".encode())

    def describe(self, decisions: Sequence[Decision]) -> dict[str, str]:
        """`metadata.csv`: one row a picture, in the order given, paths relative to the data set."""
        header = ("file_name", "label", "split", "source", "face_x", "face_y", "face_w", "face_h")
        rows = (
            (
                f"{one.within}/{one.sample.label}/{output_name(one.sample.key)}",
                one.sample.label,
                one.within,
                one.sample.key,
                *one.sample.facts.get("face", [""] * 4),
            )
            for one in decisions
        )
        return {"metadata.csv": csv_text(header, rows)}
