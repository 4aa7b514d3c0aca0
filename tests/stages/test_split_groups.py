"""Pictures that belong together lie on one side of the split, whoever says so."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_split import counted, picture, pictures, placed

from pipeline.sample import Sample
from stages.split import Split


def clips(sizes: list[int], label: str = "smile", film: str = "clip") -> list[Sample]:
    """A clip for each size, with so many frames."""
    return [
        picture(f"{label}/{film}{clip:03d}_{frame}.jpg")
        for clip, size in enumerate(sizes)
        for frame in range(size)
    ]


CLIP = Split(group_by=r"([a-z]*clip\d+)_")
SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=40)


def sides_of_clips(where: Mapping[str, str]) -> dict[str, set[str]]:
    sides: dict[str, set[str]] = {}
    for key, side in where.items():
        sides.setdefault(key.rpartition("/")[2].partition("_")[0], set()).add(side)
    return sides


@given(SIZES, SIZES, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_group_is_on_one_side_whatever_the_order_and_the_other_settings(
    none: list[int], smile: list[int], seed: int
) -> None:
    samples = clips(none, "none") + clips(smile, "smile")  # a clip of either label has one name
    split = replace(CLIP, val=0.15, test=0.1, seed=seed)
    where = placed(samples, split)
    assert all(len(sides) == 1 for sides in sides_of_clips(where).values())
    assert placed(random.Random(seed).sample(samples, len(samples)), split) == where
    assert placed(samples, split, earlier=where) == where  # the next run changes nothing


@given(SIZES)
@settings(max_examples=80, deadline=None)
def test_no_other_group_would_bring_the_counts_nearer(sizes: list[int]) -> None:
    where = placed(clips(sizes), replace(CLIP, val=0.3))
    lacking = sum(sizes) * 3 // 10 - counted(where, "smile")[1]
    groups: dict[str, list[int]] = {"train": [], "val": []}
    for size, (_, (side,)) in zip(sizes, sorted(sides_of_clips(where).items()), strict=True):
        groups[side].append(size)
    assert groups["train"]
    if len(groups["train"]) > 1:
        assert lacking <= min(groups["train"]) / 2 and groups["val"]
    if len(groups["val"]) > 1:
        assert -lacking <= min(groups["val"]) / 2


@given(SIZES, SIZES)
@settings(max_examples=60, deadline=None)
def test_old_groups_keep_their_sides_as_a_set_of_groups_grows(
    old: list[int], new: list[int]
) -> None:
    before = placed(clips(old), replace(CLIP, val=0.2))
    more = clips(old) + clips(new, film="newclip")
    after = placed(more, replace(CLIP, val=0.2), earlier=before)
    assert all(len(sides) == 1 for sides in sides_of_clips(after).values())
    moved = sum(after[key] != side for key, side in before.items())
    lacking = (sum(old) + sum(new)) * 2 // 10 - counted(before, "smile")[1]
    assert moved <= abs(lacking) or "val" not in before.values()


def test_a_group_that_lies_on_both_sides_goes_to_train_whole() -> None:
    samples = pictures("smile", 40)
    before = placed(samples)
    (one, *_), (other, *_) = (
        [key for key, side in before.items() if side == wanted] for wanted in ("val", "train")
    )
    merged = [
        replace(each, facts={"group": "g"}) if each.key in (one, other) else each
        for each in samples
    ]
    after = placed(merged, earlier=before)
    assert after[one] == after[other] == "train"
    assert counted(after, "smile") == (36, 4)
    changed = [key for key, side in before.items() if after[key] != side]
    assert len(changed) == 2 and one in changed  # that one, and one that takes its place


def test_groups_of_all_kinds_are_joined_where_they_share_a_picture(tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text("key,group\na/p1_0.jpg,x\na/far.jpg,x\nelsewhere.jpg,x\n")
    samples = [
        *(picture(f"a/p1_{number}.jpg") for number in range(3)),
        picture("a/far.jpg", group="near-1"),
        picture("b/other.jpg", group="near-1"),
        picture("b/alone.jpg", group="near-2"),
        picture("c/1.jpg", given_group="film"),
        picture("c/2.jpg", given_group="film"),
        picture("b/single.jpg"),
    ]
    split = Split(group_by=r"(p\d)_", groups=table)
    groups = {one.sample.key: one.sample.facts.get("group") for one in split(samples)}
    assert groups == {
        **dict.fromkeys(("a/p1_0.jpg", "a/p1_1.jpg", "a/p1_2.jpg"), "a/far.jpg"),
        **dict.fromkeys(("a/far.jpg", "b/other.jpg"), "a/far.jpg"),
        **dict.fromkeys(("c/1.jpg", "c/2.jpg"), "c/1.jpg"),
        "b/alone.jpg": "near-2",
        "b/single.jpg": None,
    }


def test_two_clips_of_each_label_are_one_for_train_and_one_for_val() -> None:
    where = placed(clips([5, 5], "none") + clips([5, 5], "smile"), CLIP)
    assert counted(where, "none") == counted(where, "smile") == (5, 5)
    assert sides_of_clips(where) in (
        {"clip000": {"train"}, "clip001": {"val"}},
        {"clip000": {"val"}, "clip001": {"train"}},
    )


def test_a_group_in_given_train_and_val_goes_to_train() -> None:
    samples = [
        picture(f"{side}/smile/p{n}_{side}.jpg") for n in range(4) for side in ("train", "val")
    ]
    samples += [picture("val/smile/p9_a.jpg"), picture("test/smile/p9_b.jpg")]
    samples += [picture("val/smile/p8_a.jpg"), picture("val/smile/p8_b.jpg")]
    split = Split(group_by=r"/(p\d)_")
    where = placed(samples, split)
    assert {key for key, side in where.items() if side != "train"} == {
        "val/smile/p8_a.jpg",
        "val/smile/p8_b.jpg",
    }
    assert split.remarks(list(split(samples))) == [
        "6 groups of 2 pictures stay on one side each",
        "6 pictures that came as val or test went to train, because others of the same groups "
        "came elsewhere",
    ]


def test_pictures_that_only_look_alike_stay_in_the_folders_they_came_in() -> None:
    samples = [
        picture("train/smile/1.jpg", group="g"),
        picture("val/smile/2.jpg", group="g"),
        picture("test/smile/3.jpg", group="g"),
        picture("val/smile/4.jpg", group="h"),
        picture("val/smile/5.jpg", group="h"),
    ]
    decisions = list(Split()(samples))
    assert all(one.sample.key.startswith(f"{one.within}/") for one in decisions)
    assert Split().remarks(decisions) == [
        "1 group of 2 pictures stays on one side",
        "1 group of pictures that look alike came in several of the folders train, val and test, "
        "and stay so; `check` lists the pictures",
    ]


def test_a_picture_like_one_of_a_given_test_goes_there_and_never_to_train() -> None:
    samples = [*pictures("smile", 20), picture("test/smile/x.jpg", group="g")]
    samples[3] = replace(samples[3], facts={"group": "g"})
    where = placed(samples)
    assert where[samples[3].key] == where["test/smile/x.jpg"] == "test"
    assert Counter(where.values()) == {"train": 18, "val": 1, "test": 2}


def test_settings_that_group_nothing_are_told(tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text("key,group\nraw/smile/00000.jpg,x\n")
    split = Split(group_by=r"(person\d+)", groups=table)
    lines = split.remarks(list(split(pictures("smile", 3))))
    assert len(lines) == 2 and all("smile/00000.jpg" in line for line in lines)
    assert Split().remarks(list(Split()(pictures("smile", 3)))) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "must begin with the line key,group"),
        (b"file,person\na,b\n", "must begin with the line key,group"),
        (b"key,group\na,b\na\n", "line 3: two values are needed"),
        (b"key,group\na,b\na,c\n", "line 3: a has two groups"),
        (b"key,group\n\xff,b\n", "cannot be read"),
    ],
)
def test_a_table_of_groups_that_is_none_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    table = tmp_path / "groups.csv"
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Split(groups=table)


def test_an_expression_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^--group-by '\(p' is no regular expression: "):
        Split(group_by="(p")
