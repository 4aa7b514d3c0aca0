"""The split that a picture came with."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.labels import split_of
from pipeline.sample import Sample


def given_side(sample: Sample) -> str:
    """The split that a picture came with, by its folder or by sources.csv; "" for none."""
    return split_of(sample.key) or sample.facts.get("given_split", "")


def given_sides(samples: Iterable[Sample]) -> set[str]:
    """The splits that some of the samples came with."""
    return set(map(given_side, samples)) - {""}
