"""Nine to one per label, the same way whatever the order, and stable as the set grows."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_split import counted, picture, pictures, placed

from pipeline.sample import Sample
from stages.split import Split

PUBLISHED = {  # label: pictures, train, val
    "none": (4763, 4287, 476),
    "pouting": (3154, 2839, 315),
    "smile": (4841, 4357, 484),
    "openmouth": (2348, 2114, 234),
}


def test_the_published_table_is_met_exactly() -> None:
    samples = [one for label, row in PUBLISHED.items() for one in pictures(label, row[0])]
    where = placed(samples)
    for label, (_, train, val) in PUBLISHED.items():
        assert counted(where, label) == (train, val)


@given(st.integers(0, 120), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_val_is_the_share_rounded_down_but_never_empty(count: int, percent: int) -> None:
    where = placed(pictures("smile", count), Split(val=percent / 100))
    val = max(count * percent // 100, 1 if percent and count > 1 else 0)
    assert counted(where, "smile") == (count - val, val)


@given(st.integers(0, 120), st.integers(0, 49), st.integers(0, 49))
@settings(max_examples=60, deadline=None)
def test_test_is_a_share_too(count: int, val_percent: int, test_percent: int) -> None:
    where = placed(pictures("smile", count), Split(val=val_percent / 100, test=test_percent / 100))
    sides = Counter(where.values())
    assert sides["val"] == max(count * val_percent // 100, 1 if val_percent and count > 1 else 0)
    assert sides["test"] == max(count * test_percent // 100, 1 if test_percent and count > 2 else 0)
    assert sides["train"] >= 1 or count == 0


def test_the_order_of_files_changes_nothing() -> None:
    samples = pictures("smile", 100) + pictures("none", 73)
    expected = placed(samples)
    for seed in range(5):
        assert placed(random.Random(seed).sample(samples, len(samples))) == expected


def test_another_seed_gives_another_draw_of_the_same_size() -> None:
    samples = pictures("smile", 200)
    one, other = placed(samples), placed(samples, Split(seed=1))
    assert one != other
    assert counted(one, "smile") == counted(other, "smile") == (180, 20)


def test_no_picture_changes_sides_as_a_set_grows() -> None:
    before = placed(pictures("smile", 1000))
    after = placed(pictures("smile", 1100), earlier=before)
    assert [key for key, side in before.items() if after[key] != side] == []
    assert counted(after, "smile") == (990, 110)


def test_few_pictures_change_sides_where_the_ledger_was_lost() -> None:
    before, after = placed(pictures("smile", 1000)), placed(pictures("smile", 1100))
    moved = [key for key, side in before.items() if after[key] != side]
    assert len(moved) <= 25  # a draw without regard to names would move about 180


def test_as_few_pictures_as_can_be_change_sides_when_the_share_changes() -> None:
    before = placed(pictures("smile", 100))
    more = placed(pictures("smile", 100), Split(val=0.15, test=0.05), earlier=before)
    assert Counter(more.values()) == {"train": 80, "val": 15, "test": 5}
    assert all(more[key] == "val" for key, side in before.items() if side == "val")
    less = placed(pictures("smile", 100), Split(val=0.05), earlier=more)
    assert Counter(less.values()) == {"train": 95, "val": 5}
    assert all(more[key] == "val" for key, side in less.items() if side == "val")


def test_pictures_that_go_are_made_up_for_by_as_few_as_can_be() -> None:
    samples = pictures("smile", 100)
    before = placed(samples)
    left = [one for one in samples if before[one.key] == "train"]
    after = placed(left, earlier=before)
    assert counted(after, "smile") == (81, 9)


def test_a_label_is_drawn_without_regard_to_the_others() -> None:
    smiles = pictures("smile", 50)
    alone, together = placed(smiles), placed(smiles + pictures("none", 31))
    assert all(together[key] == side for key, side in alone.items())


def given_split(parts: dict[str, int]) -> list[Sample]:
    return [
        picture(f"{part}/smile/{number}.jpg")
        for part, count in parts.items()
        for number in range(count)
    ]


def test_given_train_val_and_test_are_kept() -> None:
    where = placed(given_split({"train": 30, "val": 7, "test": 5}))
    assert all(key.startswith(f"{side}/") for key, side in where.items())
    assert Counter(where.values()) == {"train": 30, "val": 7, "test": 5}


def test_train_is_divided_where_no_val_came() -> None:
    where = placed(given_split({"train": 40, "test": 8}))
    assert Counter(where.values()) == {"train": 36, "val": 4, "test": 8}
    assert all(side == "test" for key, side in where.items() if key.startswith("test/"))


def test_pictures_without_a_given_side_are_drawn_beside_those_with_one() -> None:
    samples = given_split({"train": 20, "val": 6})
    samples += [picture(f"smile/in{n}.jpg", given_split="test") for n in range(3)]
    where = placed(samples + pictures("smile", 30))
    drawn = Counter(where[f"smile/{number:05d}.jpg"] for number in range(30))
    assert drawn == {"train": 27, "val": 3}
    assert Counter(where.values()) == {"train": 47, "val": 9, "test": 3}


def test_a_label_called_train_is_not_a_side() -> None:
    samples = [Sample(f"train/{number}.jpg", "train", Path("x")) for number in range(20)]
    assert Counter(placed(samples).values()) == {"train": 18, "val": 2}


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_senseless_shares_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match="val must be 0 or more and under 1"):
        Split(val=share)
    with pytest.raises(ValueError, match="test must be 0 or more and under 1"):
        Split(test=share)
    with pytest.raises(ValueError, match="train needs the rest"):
        Split(val=0.5, test=0.5)
