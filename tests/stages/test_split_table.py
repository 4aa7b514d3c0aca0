"""metadata.csv: every picture of the data set, where it lies and where it came from."""

from __future__ import annotations

import csv
import io

import pytest
from small_split import picture

from pipeline.sample import Sample
from stages.split import Split


def table(samples: list[Sample]) -> list[dict[str, str]]:
    split = Split(group_by=r"(p\d+)_")
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


def test_metadata_ends_with_the_group() -> None:
    rows = table([picture("a/p1_2.jpg"), picture("a/p1_1.jpg"), picture("a/x.jpg")])
    assert list(rows[0])[-1] == "group"
    assert [row["group"] for row in rows] == ["a/p1_1.jpg", "a/p1_1.jpg", ""]


def test_commas_quotes_and_line_breaks_in_names_stay_in_their_cell() -> None:
    key = 'smile/a,"b"\nc.jpg'
    (row,) = table([picture(key, face=[0, 0, 9, 9])])
    assert row["source"] == key
    assert row["face_w"] == "9"
