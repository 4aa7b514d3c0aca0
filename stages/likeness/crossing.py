"""Pairs of like pictures that cross a split or a label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Literal, NamedTuple

from pipeline.labels import split_of
from pipeline.sample import Sample
from stages.likeness import pairs

Side = tuple[str, str]
"""Split and label of a picture."""


class Crossing(NamedTuple):
    """Two pictures that are alike, and the bits of 256 by which they differ."""

    one: Sample
    other: Sample
    distance: int
    kind: Literal["exact", "near"]


def crossings(
    samples: Sequence[Sample], limit: int, is_same: Callable[[Sample, Sample], bool]
) -> list[Crossing]:
    """Pairs that lie in two splits, or under two labels; the same pixels first, then by distance.

    Near pictures under two labels of one split count only where they show the same in every part,
    as `is_same` tells: one person's next expression is near too. Of many copies each is in a pair,
    but not each with each.
    """
    classes: dict[str, dict[Side, list[Sample]]] = {}
    for sample in sorted(samples, key=lambda sample: sample.key):
        sides = classes.setdefault(sample.facts["content"], {})
        sides.setdefault(_side(sample), []).append(sample)
    ordered = list(classes.values())
    found = [pair for sides in ordered for pair in _exact(sides)]
    first = [[copies[0] for copies in sides.values()] for sides in ordered]
    for left, right, distance in pairs.near([copies[0].facts for copies in first], limit):
        for one, other in product(first[left], first[right]):
            if _side(one)[0] != _side(other)[0] or (
                one.label != other.label and is_same(one, other)
            ):
                found.append(Crossing(one, other, distance, "near"))
    return sorted(found, key=lambda pair: (pair.kind, pair.distance, pair.one.key, pair.other.key))


def _exact(sides: dict[Side, list[Sample]]) -> Iterator[Crossing]:
    """Each picture of the same pixels with the first one on another side."""
    if len(sides) < 2:
        return
    home, away, *_ = sides
    for side, copies in sides.items():
        for sample in copies:
            if side != home:
                yield Crossing(sides[home][0], sample, 0, "exact")
            elif sample is not sides[home][0]:
                yield Crossing(sample, sides[away][0], 0, "exact")


def _side(sample: Sample) -> Side:
    return split_of(sample.key), sample.label
