"""The check finds copies across splits and labels in any folder, and changes nothing there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow
from small_likeness import CHANGES, next_frame, scene

from pipeline.__main__ import main
from pipeline.pictures import encode
from pipeline.sample import Image


def put(folder: Path, key: str, data: Image | bytes) -> None:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else encode(data))


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """Six scenes in train and val, two of them on both sides, one copy within train."""
    folder = tmp_path / "set"
    for number in range(4):
        put(folder, f"train/smile/{number}.jpg", scene(number))
    put(folder, "train/smile/copy.jpg", encode(scene(2), 60))
    put(folder, "val/smile/new.jpg", scene(4))
    put(folder, "val/none/same.jpg", encode(scene(0)) + b"tail")
    put(folder, "val/smile/half.jpg", CHANGES["half the size"](scene(1)))
    put(folder, "val/smile/broken.jpg", encode(scene(5))[:900])
    return folder


def check(folder: Path, *words: object) -> int:
    where = ["--processed", str(folder.parent / "processed"), "--workers", "0"]
    return main(["check", str(folder), *where, *map(str, words)])


def pairs(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["pairs"]
    return found


def test_planted_twins_are_found_and_told(
    leaky: Path, capsys: pytest.CaptureFixture[str], tree_digest: Callable[[Path], str]
) -> None:
    before = tree_digest(leaky)
    assert check(leaky, "--json") == 1
    exact, near = pairs(capsys)
    assert exact == {
        "a": "train/smile/0.jpg",
        "b": "val/none/same.jpg",
        "distance": 0,
        "kind": "exact",
        "splits": ["train", "val"],
        "labels": ["smile", "none"],
    }
    assert (near["a"], near["b"], near["kind"]) == (
        "train/smile/1.jpg",
        "val/smile/half.jpg",
        "near",
    )
    assert tree_digest(leaky) == before
    assert not (leaky.parent / "processed").exists()


def test_lines_and_the_sheet_are_for_people(
    leaky: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = leaky.parent / "pairs.png"
    assert check(leaky, "--sheet", sheet) == 1
    output = capsys.readouterr().out
    assert "exact  0  train/smile/0.jpg  val/none/same.jpg" in output
    assert "could not be read: 1 (truncated 1)" in output
    assert "8 pictures" in output and "label: 2" in output
    with Pillow.open(sheet) as picture:
        assert picture.height > 200


def test_a_set_without_leaks_passes(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (leaky / "val/none/same.jpg").unlink()
    (leaky / "val/smile/half.jpg").unlink()
    assert check(leaky, "--json") == 0
    assert pairs(capsys) == []


def test_labels_without_splits_are_compared_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set"
    put(folder, "none/a.jpg", scene(0))
    put(folder, "smile/b.jpg", encode(scene(0), 50))
    put(folder, "smile/expression.jpg", next_frame(scene(0)))
    assert check(folder, "--json") == 1
    (pair,) = pairs(capsys)
    assert (pair["a"], pair["b"], pair["splits"]) == ("none/a.jpg", "smile/b.jpg", ["", ""])


def test_of_many_copies_each_is_in_a_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set"
    names = [f"{split}/smile/{number}.jpg" for split in ("train", "val") for number in range(20)]
    for name in names:
        put(folder, name, scene(0))
    assert check(folder, "--json") == 1
    found = pairs(capsys)
    assert {pair[end] for pair in found for end in "ab"} == set(names)
    assert len(found) == 39
    assert all(pair["splits"] == ["train", "val"] for pair in found)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere is not a folder"),
        ([], "name a folder"),
        (["set", "--sheet", "set/x.png"], "only read"),
        (["empty"], "holds no pictures"),
    ],
)
def test_wrong_usage_is_told(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "set/a/1.jpg", scene(0))
    (tmp_path / "empty").mkdir()
    assert main(["check", *words, "--workers", "0"]) == 2
    assert message in capsys.readouterr().err


def test_our_own_table_beside_the_pictures_is_no_unreadable_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        put(tmp_path / "raw", f"{'ab'[number % 2]}/{number}.jpg", scene(number))
    where = ["--raw", str(tmp_path / "raw"), "--processed", str(tmp_path / "processed")]
    assert main(["split", *where, "--region", "whole", "--workers", "0"]) == 0
    capsys.readouterr()
    assert main(["check", str(tmp_path / "processed/dataset"), "--workers", "0"]) == 0
    assert "could not be read" not in capsys.readouterr().out
