"""Nine to one per label, the same way whatever the order, and stable as the set grows."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sample import Sample
from stages.split import Split

PUBLISHED = {  # label: pictures, train, val
    "none": (4763, 4287, 476),
    "pouting": (3154, 2839, 315),
    "smile": (4841, 4357, 484),
    "openmouth": (2348, 2114, 234),
}


def picture(key: str, **facts: object) -> Sample:
    folders = key.split("/")[:-1]
    label = folders[1] if folders[0] in ("train", "val", "test") else folders[0]
    return Sample(key, label, Path("x") / key, facts=facts)


def pictures(label: str, count: int) -> list[Sample]:
    return [picture(f"{label}/{number:05d}.jpg") for number in range(count)]


def placed(samples: list[Sample], split: Split | None = None) -> dict[str, str]:
    decisions = list((split or Split())(samples))
    assert len(decisions) == len(samples)
    assert all(one.reject is None for one in decisions)
    return {one.sample.key: one.within for one in decisions}


def counted(where: dict[str, str], label: str) -> tuple[int, int]:
    sides = Counter(side for key, side in where.items() if f"{label}/" in key)
    return sides["train"], sides["val"]


def test_the_published_table_is_met_exactly() -> None:
    samples = [one for label, row in PUBLISHED.items() for one in pictures(label, row[0])]
    where = placed(samples)
    for label, (_, train, val) in PUBLISHED.items():
        assert counted(where, label) == (train, val)


@given(st.integers(0, 120), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_val_is_the_share_rounded_down(count: int, percent: int) -> None:
    where = placed(pictures("smile", count), Split(val=percent / 100))
    assert counted(where, "smile") == (count - count * percent // 100, count * percent // 100)


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


def test_few_pictures_change_sides_as_a_set_grows() -> None:
    before, after = placed(pictures("smile", 1000)), placed(pictures("smile", 1100))
    moved = [key for key, side in before.items() if after[key] != side]
    assert len(moved) <= 25  # a draw from scratch would move about 180


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
    samples = given_split({"train": 20, "val": 6}) + pictures("smile", 30)
    where = placed(samples)
    drawn = Counter(side for key, side in where.items() if key.startswith("smile/"))
    assert drawn == {"train": 27, "val": 3}
    assert Counter(where.values()) == {"train": 47, "val": 9}


def test_a_label_called_train_is_not_a_side() -> None:
    samples = [Sample(f"train/{number}.jpg", "train", Path("x")) for number in range(20)]
    assert Counter(placed(samples).values()) == {"train": 18, "val": 2}


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_senseless_shares_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match="val must be 0 or more and under 1"):
        Split(val=share)


def table(samples: list[Sample]) -> list[dict[str, str]]:
    split = Split()
    files = split.describe(sorted(split(samples), key=lambda one: one.sample.key))
    assert files.keys() == {"metadata.csv"}
    return list(csv.DictReader(io.StringIO(files["metadata.csv"])))


def test_metadata_names_every_picture_where_it_lies() -> None:
    rows = table([picture("val/smile/Ä b.png", face=[1, 2, 30, 40]), picture("train/none/c.jpg")])
    first, second = rows
    assert first["file_name"].startswith("train/none/c-")
    assert first["file_name"].endswith(".jpg")
    assert (first["label"], first["split"], first["face_x"]) == ("none", "train", "")
    assert first["source"] == "train/none/c.jpg"
    assert second["file_name"].startswith("val/smile/a-b-")
    assert second["source"] == "val/smile/Ä b.png"
    faces = [second[f"face_{name}"] for name in "xywh"]
    assert faces == ["1", "2", "30", "40"]


@pytest.mark.parametrize("key", ["=HYPERLINK(1)/a.jpg", "+1/a.jpg", "-1/a.jpg", "@x/a.jpg"])
def test_no_cell_of_metadata_is_a_formula(key: str) -> None:
    (row,) = table([picture(key)])
    assert row["source"] == f"'{key}"
    assert row["label"] == f"'{key.split('/')[0]}"
    assert all(not value.startswith(("=", "+", "-", "@", "\t", "\r")) for value in row.values())


def test_commas_quotes_and_line_breaks_in_names_stay_in_their_cell() -> None:
    key = 'smile/a,"b"\nc.jpg'
    (row,) = table([picture(key, face=[0, 0, 9, 9])])
    assert row["source"] == key
    assert row["face_w"] == "9"
