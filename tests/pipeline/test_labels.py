"""Labels and splits: which folders are which, and what is refused because nobody could tell."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import labels
from pipeline.trouble import Usage

UNHURRIED = settings(deadline=None)  # a busy machine is no failure
PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@UNHURRIED
@given(st.sampled_from(labels.SPLITS), PARTS, KEYS)
def test_a_split_is_no_label(split: str, label: str, rest: str) -> None:
    key = f"{split}/{label}/{rest}"
    assert (labels.split_of(key), labels.label_of(key)) == (split, label)


@UNHURRIED
@given(PARTS.filter(lambda part: not labels.split_named(part)), KEYS)
def test_the_first_folder_is_the_label_where_it_is_no_split(label: str, rest: str) -> None:
    assert (labels.split_of(f"{label}/{rest}"), labels.label_of(f"{label}/{rest}")) == ("", label)


@UNHURRIED
@given(KEYS)
def test_a_picture_with_a_split_has_a_label_too(key: str) -> None:
    assert labels.label_of(key) or not labels.split_of(key)
    assert labels.label_of(key) in ("", *key.split("/")[:-1])


@pytest.mark.parametrize("key", ["x.jpg", "train/x.jpg", "val/x.jpg"])
def test_a_picture_in_no_folder_has_neither_label_nor_split(key: str) -> None:
    assert (labels.label_of(key), labels.split_of(key)) == ("", "")


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        *((name, "train") for name in ("train", "Train", "TRAINING", "train_set", "train2017")),
        *((name, "val") for name in ("valid", "Validation", "dev", "DEV", "eval", "val images")),
        *((name, "test") for name in ("test", "Testing", "test-data", "holdout", "TestSet ")),
        *((name, "") for name in ("invalid", "trainer", "smile", "contest", "device", "val/x", "")),
    ],
)
def test_a_folder_is_a_split_by_any_usual_name(folder: str, split: str) -> None:
    assert labels.split_named(folder) == split


def refusal(*keys: str) -> str:
    with pytest.raises(Usage) as caught:
        labels.require_clear(keys, Path("raw"))
    return str(caught.value)


@pytest.mark.parametrize("other", ["valid", "Val", "dev", "validation"])
def test_two_folders_that_mean_one_split_are_refused(other: str) -> None:
    message = refusal("train/smile/1.jpg", "val/smile/2.jpg", f"{other}/smile/3.jpg")
    assert "val" in message and other in message and "all mean val" in message


def test_a_split_beside_a_label_is_refused() -> None:
    message = refusal("train/smile/1.jpg", "valid/smile/2.jpg", "none/3.jpg", "smile/4.jpg")
    assert "train, valid" in message and "beside none, smile" in message


def test_a_test_folder_beside_labels_is_clear_where_it_holds_those_labels() -> None:
    labels.require_clear(["none/1.jpg", "smile/2.jpg", "Testing/smile/3.jpg"], Path())
    assert "beside" in refusal("none/1.jpg", "smile/2.jpg", "test/frown/3.jpg")
    assert "beside" in refusal("none/1.jpg", "smile/2.jpg", "test/3.jpg")
    assert "beside" in refusal("none/1.jpg", "smile/2.jpg", "test/smile/3.jpg", "val/none/4.jpg")


def test_a_divided_set_and_one_that_is_not_are_clear() -> None:
    labels.require_clear(["train/a/1.jpg", "valid/b/2.jpg", "Test/a/3.jpg", "notes.txt"], Path())
    labels.require_clear(["a/1.jpg", "b/x/2.jpg", "notes.txt"], Path())


@pytest.mark.parametrize(
    ("label", "other"),
    [
        ("smile", "Smile"),
        ("smile", "smile "),
        ("open mouth", "open  mouth"),
        ("caf\u00e9", "cafe\u0301"),
        ("stra\u00dfe", "STRASSE"),
        ("smile", "smi\u200ble"),
        ("\u2764", "\u2764\ufe0f"),
        ("\u00c5", "\u212b"),
    ],
)
def test_labels_that_look_the_same_are_refused_with_both_names(label: str, other: str) -> None:
    for first in ("", "train/"):
        message = refusal(f"{first}{label}/1.jpg", f"{first}{other}/2.jpg")
        assert ascii(label) in message and ascii(other) in message
    across = refusal(f"train/{label}/1.jpg", f"val/{other}/2.jpg")
    assert "look the same" in across


@pytest.mark.parametrize("other", ["smiles", "s mile", "smile2", "smil\u00e9"])
def test_labels_that_look_different_are_not_refused(other: str) -> None:
    labels.require_clear(["smile/1.jpg", f"{other}/2.jpg"], Path())


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(labels)
    assert result.attempted > 0 and result.failed == 0
