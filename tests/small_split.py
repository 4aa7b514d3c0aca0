"""Samples that no file stands behind, and the sides on which the split puts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from pipeline.sample import Facts, Sample
from stages.split import Split


def picture(key: str, **facts: object) -> Sample:
    """A picture under its label, which is the second folder where the first one is a split's."""
    folders = key.split("/")[:-1]
    label = folders[1] if folders[0] in ("train", "val", "test") else folders[0]
    return Sample(key, label, Path("x") / key, facts=cast(Facts, facts))


def pictures(label: str, count: int) -> list[Sample]:
    return [picture(f"{label}/{number:05d}.jpg") for number in range(count)]


def placed(
    samples: list[Sample], split: Split | None = None, earlier: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The side of each key. `earlier` is what the split remembers of the run before."""
    decisions = list((split or Split())(samples, earlier or {}))
    assert len(decisions) == len(samples)
    assert all(one.reject is None for one in decisions)
    return {one.sample.key: one.within for one in decisions}


def counted(where: dict[str, str], label: str) -> tuple[int, int]:
    """How many pictures of a label lie in train and in val."""
    sides = Counter(side for key, side in where.items() if f"{label}/" in key)
    return sides["train"], sides["val"]
