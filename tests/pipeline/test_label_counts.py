"""Counts by label: the table, and what is said of labels that lack pictures."""

from __future__ import annotations

from pipeline.label_counts import Counts, as_table, gaps

FULL: Counts = {"none": {"raw": 1200, "crops": 1100, "train": 990, "val": 110}}


def test_the_table_has_a_line_a_label_whatever_the_length_of_its_name() -> None:
    long = "a label with a long name"
    lines = as_table(FULL | {long: dict.fromkeys(FULL["none"], 0)}).splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["label", "raw", "crops", "train", "val"],
        ["none", "1,200", "1,100", "990", "110"],
    ]
    assert lines[2].startswith(long + " ") and len(set(map(len, lines))) == 1


def test_nothing_is_said_of_labels_that_have_pictures_everywhere() -> None:
    assert gaps(FULL) == []


def test_each_gap_is_named() -> None:
    counts = {
        "empty": {"raw": 0, "crops": 0, "train": 0, "val": 0, "test": 0},
        "lost": {"raw": 9, "crops": 0, "train": 0, "val": 0, "test": 0},
        "full": {"raw": 9, "crops": 9, "train": 6, "val": 2, "test": 1},
        "held": {"raw": 9, "crops": 9, "train": 0, "val": 9, "test": 0},
        "one": {"raw": 1, "crops": 1, "train": 1, "val": 0, "test": 0},
    }
    named = [line.partition(";")[0] for line in gaps(counts)]
    assert named == [
        "empty in the raw folder: empty",
        "no picture of lost was kept",
        "no train picture of held",
        "no val picture of one",
        "no test picture of held, one",
    ]


def test_a_side_that_no_label_has_is_no_gap() -> None:
    assert gaps({"none": {"raw": 9, "crops": 9, "train": 9, "val": 0}}) == []
