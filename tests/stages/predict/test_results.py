"""One set of results a run: earlier ones are never labelled, and never stay beside newer ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_faces import expression, predict
from small_films import write_film

from pipeline.pictures import encode
from stages.predict.results import results_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures and a film."""
    home = tmp_path / "in"
    home.mkdir()
    for label in ("smile", "none"):
        (home / f"{label}.jpg").write_bytes(encode(expression(label)))
    write_film(home / "film.mp4")
    return home


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("flags", [(), ("--no-csv",), ("--no-jsonl",)])
def test_results_in_the_folder_of_the_pictures_are_not_labelled(
    folder: Path, flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    predict(folder, "--input", folder)
    first = names(folder)
    assert len(first) == 3 + 3 + 2
    predict(folder, "--input", folder, *flags)
    unwritten = {f"predictions.{flag.removeprefix('--no-')}" for flag in flags}
    assert names(folder) == sorted(set(first) - unwritten)
    assert "5 files left out: they are results of earlier predictions" in capsys.readouterr().out


def test_results_anywhere_below_the_pictures_are_not_labelled(folder: Path, tmp_path: Path) -> None:
    before = predict(folder / "deep" / "out", "--input", folder)
    assert predict(tmp_path / "elsewhere", "--input", folder) == before
    assert predict(tmp_path / "elsewhere", "--input", f"{folder}/**/*.jpg") != []
    rows = predict(tmp_path / "elsewhere", "--input", f"{folder}/**/*.jpg")
    assert len(rows) == 2


def test_copies_of_an_earlier_run_do_not_stay(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    predict(output, "--input", folder)
    (output / "mine.jpg").write_bytes(b"of the user")
    predict(output, "--input", folder / "smile.jpg", "--no-csv")
    kept = names(output)
    assert len(kept) == 3 and {"mine.jpg", "predictions.jsonl"} < set(kept)
    assert kept[-1].startswith("smile-")


def test_a_run_without_copies_leaves_none_of_before(folder: Path, tmp_path: Path) -> None:
    predict(tmp_path / "out", "--input", folder)
    predict(tmp_path / "out", "--input", folder, "--no-draw")
    assert names(tmp_path / "out") == ["predictions.csv", "predictions.jsonl"]


def test_an_earlier_copy_that_is_itself_the_input_is_not_removed(
    folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    predict(output, "--input", folder / "smile.jpg")
    (copy,) = output.glob("smile-*.jpg")
    predict(output, "--input", copy)
    assert len(list(output.glob("smile-*.jpg"))) == 2


def test_a_table_of_another_program_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text("name,score\na.jpg,1\n")
    (tmp_path / "predictions.jsonl").write_text('{"name": "a.jpg"}\n')
    assert results_in(tmp_path) == set()


def test_files_of_a_killed_run_are_removed_too(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    predict(output, "--input", folder)
    for name in ("predictions.csv", "predictions.jsonl"):
        (output / name).rename(output / f".new-{name}")
    (output / ".new-film-12345678.mp4").write_bytes(b"half a film")
    predict(output, "--input", folder / "none.jpg", "--no-draw")
    assert names(output) == ["predictions.csv", "predictions.jsonl"]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("cut.jpg", encode(expression("smile"))[:9000], "truncated"),
        ("note.jpg", b"a text", "not_an_image): it is neither a picture nor a video"),
        ("empty.jpg", b"", "empty"),
        ("film.mp4", b"\0\0\0\x20ftypisom" + bytes(99), "corrupt"),
    ],
)
def test_one_file_that_cannot_be_read_fails_with_its_reason(
    tmp_path: Path, name: str, data: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(data)
    (row,) = predict(tmp_path / "out", "--input", tmp_path / name, code=1)
    assert row["reason"] and row["label"] == ""
    assert f"{name} has no answer ({words}" in capsys.readouterr().err
    predict(tmp_path / "out", "--input", tmp_path)  # among others it is a row


def test_one_picture_without_a_face_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "wall.jpg").write_bytes(encode(np.full((99, 99, 3), 9, np.uint8)))
    (row,) = predict(tmp_path / "out", "--input", tmp_path / "wall.jpg")
    assert row["reason"] == "no_face"
