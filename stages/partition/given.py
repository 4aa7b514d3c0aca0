"""The split that a picture came with, and the one that it is in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.labels import split_of
from pipeline.sample import Sample
from pipeline.trouble import Trouble


def given_side(sample: Sample) -> str:
    """The split that a picture came with, by its folder or by sources.csv; "" for none."""
    return split_of(sample.key) or sample.facts.get("given_split", "")


def given_sides(samples: Iterable[Sample]) -> set[str]:
    """The splits that some of the samples came with."""
    return set(map(given_side, samples)) - {""}


def side_of(facts: Mapping[str, object]) -> str:
    """The split that a picture of the data set is in: "train", "val" or "test".

    Raises Trouble where an earlier version of the program divided the set.
    """
    if "split" not in facts:
        raise Trouble("the data set is from an earlier version of this program: run `split` again")
    return str(facts["split"])
