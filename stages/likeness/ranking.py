"""Which of several copies is the best one."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.labels import split_of
from pipeline.sample import Sample

LAST_TO_LOSE = {"test": 0, "val": 1}  # of a copy in two splits, training loses its own


def same_pixels(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Pictures of the same pixels together, the best first: those of test and val before others,
    most pixels, least compressed, first key.
    """
    size: dict[str, int] = {}
    for sample in samples:
        facts = sample.facts
        size[facts["content"]] = max(size.get(facts["content"], 0), facts["bytes"])

    def rank(sample: Sample) -> tuple[int, int, int, str]:
        facts = sample.facts
        area = facts["width"] * facts["height"]
        side = LAST_TO_LOSE.get(split_given(sample), len(LAST_TO_LOSE))
        return side, -area, -size[facts["content"]], sample.key

    classes: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=rank):
        classes.setdefault(sample.facts["content"], []).append(sample)
    return list(classes.values())


def split_given(sample: Sample) -> str:
    """The split that a picture came with: by its folder, or by who made the set."""
    return split_of(sample.key) or sample.facts.get("given_split", "")
