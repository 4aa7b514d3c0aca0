"""Near pairs among pictures, by the facts that `normalize` noted of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.sample import Facts
from stages.likeness import bands, hashes


class Pair(NamedTuple):
    """Places of two near pictures, `better` before `worse`, and the bits that differ."""

    better: int
    worse: int
    distance: int


def near(facts: Sequence[Facts], limit: int) -> list[Pair]:
    """Pairs that differ by at most `limit` bits of 256; pictures without hashes are in none."""
    places = [place for place, fact in enumerate(facts) if fact["hashes"]]
    words = hashes.unpacked([facts[place]["hashes"] for place in places])
    found = bands.near_pictures(words, limit)
    return [
        Pair(places[left], places[right], distance)
        for left, right, distance in zip(*(column.tolist() for column in found), strict=True)
    ]


def distance(one: Facts, other: Facts) -> int:
    """Bits that differ between the nearest crops of two pictures; 0 for the same pixels."""
    if one["content"] == other["content"]:
        return 0
    words = hashes.unpacked([one["hashes"], other["hashes"]])
    return int(bands.least_distances(words, np.array([0]), np.array([1]))[0])
