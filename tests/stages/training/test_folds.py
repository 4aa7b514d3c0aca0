"""Folds: groups stay whole, every picture is in one fold, labels are shared out evenly."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sample import Sample
from pipeline.trouble import Usage
from stages.training.folds import folds

LABELS = ("none", "smile")


def samples(sizes: list[int]) -> list[Sample]:
    """A person for each size, with so many pictures, of both labels in turn."""
    return [
        Sample(
            f"{LABELS[number % 2]}/p{person}-{number}.png",
            LABELS[number % 2],
            Path("x"),
            {"group": f"p{person}"} if size > 1 else {},
        )
        for person, size in enumerate(sizes)
        for number in range(size)
    ]


def group(sample: Sample) -> str:
    return str(sample.facts.get("group", sample.key))


@given(st.lists(st.integers(1, 9), min_size=2, max_size=25), st.integers(2, 6))
@settings(max_examples=80, deadline=None)
def test_groups_stay_whole_and_every_picture_is_in_one_fold(sizes: list[int], count: int) -> None:
    people = samples(sizes)
    if len(sizes) < count:
        with pytest.raises(Usage, match=rf"^{len(sizes)} group\(s\) do not fill {count} folds$"):
            folds(people, count)
        return
    parts = folds(people, count)
    assert len(parts) == count and all(parts)
    assert sorted(place for part in parts for place in part) == list(range(len(people)))
    groups = [{group(people[place]) for place in part} for part in parts]
    assert sum(map(len, groups)) == len(sizes)


@given(st.integers(2, 40), st.integers(2, 40), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_each_fold_has_its_part_of_each_label(none: int, smile: int, count: int) -> None:
    pictures = [Sample(f"none/{n}", "none", Path("x")) for n in range(none)]
    pictures += [Sample(f"smile/{n}", "smile", Path("x")) for n in range(smile)]
    parts = folds(pictures, count)
    for label in LABELS:
        sizes = [Counter(pictures[place].label for place in part)[label] for part in parts]
        assert max(sizes) - min(sizes) <= 1


def test_the_order_of_pictures_changes_no_fold() -> None:
    people = samples([3, 5, 2, 4, 4, 1])

    def keys(order: list[Sample]) -> list[list[str]]:
        return sorted(sorted(order[place].key for place in part) for part in folds(order, 3))

    assert keys(random.Random(3).sample(people, len(people))) == keys(people)


def test_folds_are_to_be_had_without_torch() -> None:
    code = "import sys, stages.training.folds; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
