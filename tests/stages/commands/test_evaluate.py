"""The command that judges a model: on the data set, on folders, with mistakes and groups."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from small_sets import put, put_divided, train

from pipeline.__main__ import main

TWO = {"none": 12, "smile": 12}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with raw/, processed/ and a run that tells two labels apart."""
    home = tmp_path_factory.mktemp("trained")
    put_divided(home / "raw", {"none": 40, "smile": 40}, TWO)
    assert train(home, "--epochs", "12") == 0
    return home


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "home"))


def evaluate(home: Path, *more: object) -> int:
    return command("evaluate", home, *more)


def command(name: str, home: Path, *more: object) -> int:
    places = ["--raw", str(home / "raw"), "--processed", str(home / "processed")]
    return main([name, *places, "--region", "whole", "--workers", "0", *map(str, more)])


def run_of(home: Path) -> Path:
    return home / "processed" / "runs" / "default"


def judged(home: Path) -> dict[str, Any]:
    path = run_of(home) / "evaluation" / "evaluation.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_the_data_set_gets_the_figures_that_training_told(home: Path) -> None:
    assert evaluate(home) == 0
    (split, figures), *rest = judged(home).items()
    written = json.loads((run_of(home) / "evaluation.json").read_text(encoding="utf-8"))[split]
    assert split == "val" and not rest
    assert figures.pop("unanswered") == {}
    assert figures.pop("loss") == pytest.approx(written.pop("loss"), rel=1e-4)
    assert figures.pop("ece") == pytest.approx(written.pop("ece"), rel=1e-4)
    assert figures == written and figures["count"] == 24 and figures["accuracy"] > 0.9


def test_raw_pictures_get_the_figures_of_the_crops_made_of_them(home: Path) -> None:
    """Both are what normalize makes of the file; only the crop was a JPEG in between."""
    assert evaluate(home) == 0
    of_crops = judged(home)["val"]
    assert evaluate(home, "--data", home / "raw") == 0
    assert list(judged(home)) == ["val"]  # train is not judged on where there is more
    assert judged(home)["val"]["confusion"] == of_crops["confusion"]
    assert judged(home)["val"]["loss"] == pytest.approx(of_crops["loss"], abs=0.02)


def test_an_onnx_model_gets_the_same_figures(home: Path) -> None:
    assert evaluate(home) == 0
    figures = judged(home)["val"]
    assert command("export", home) == 0
    alone = home / "alone" / "model.onnx"
    alone.parent.mkdir()
    (run_of(home) / "model.onnx").rename(alone)
    assert evaluate(home, "--model", alone) == 0
    printed = json.loads((alone.parent / "evaluation" / "evaluation.json").read_text())["val"]
    assert printed["confusion"] == figures["confusion"]
    assert printed["loss"] == pytest.approx(figures["loss"], rel=1e-4)
    assert not (alone.parent / "README.md").exists()  # of where it comes from nothing is known


def test_crops_are_taken_as_they_are(home: Path) -> None:
    crops = home / "processed" / "dataset"
    assert evaluate(home, "--data", crops / "val", "--crops") == 0
    assert judged(home)["all"]["count"] == 24


def swap(folder: Path) -> None:
    """Everything in the wrong folder."""
    (folder / "none").rename(folder / "x")
    (folder / "smile").rename(folder / "none")
    (folder / "x").rename(folder / "smile")


def test_mistakes_are_shown_the_surest_first(home: Path, tmp_path: Path) -> None:
    put(tmp_path / "data", TWO, seed=7)
    assert evaluate(home, "--data", tmp_path / "data") == 0
    matrix = judged(home)["all"]["confusion"]
    assert matrix[0][0] + matrix[1][1] > 20
    swap(tmp_path / "data")
    output = tmp_path / "out"
    assert evaluate(home, "--data", tmp_path / "data", "--output", output) == 0
    printed = json.loads((output / "evaluation.json").read_text())["all"]
    assert printed["confusion"] == [matrix[1], matrix[0]]
    sheet = cv2.imread(str(output / "mistakes.png"))
    assert sheet.shape[1] > 8 * 128 and np.ptp(sheet) > 200
    assert cv2.imread(str(output / "confusion.png")).std() > 10


def test_a_sheet_of_mistakes_goes_when_there_are_none(home: Path, tmp_path: Path) -> None:
    put(tmp_path / "data", {"none": 1, "smile": 1}, seed=7)
    sheet = run_of(home) / "evaluation" / "mistakes.png"
    sheet.parent.mkdir()
    sheet.touch()
    assert evaluate(home, "--data", tmp_path / "data") == 0
    assert judged(home)["all"]["accuracy"] == 1
    assert not sheet.exists()


def test_groups_are_told_the_worst_first(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "data", TWO, seed=7)
    wrong = tmp_path / "data" / "none"
    for right in (tmp_path / "data" / "smile").glob("p01-*"):
        right.rename(wrong / f"p09-{right.name}")
    assert evaluate(home, "--data", tmp_path / "data", "--group-by", r"/(p\d+)-") == 0
    groups = judged(home)["all"]["groups"]
    assert next(iter(groups)) == "p09" and groups["p09"] == {"count": 4, "accuracy": 0}
    assert "4 groups, accuracy 0.0% in the worst (p09, of 4)" in capsys.readouterr().out


def test_what_cannot_be_judged_has_its_reason(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    put(data, TWO, seed=7)
    (data / "none" / "note.jpg").write_text("no picture")
    (data / "smile" / "cut.png").write_bytes((data / "smile" / "p00-000.png").read_bytes()[:900])
    (data / "loose.png").touch()
    assert evaluate(home, "--data", data) == 0
    assert judged(home)["all"]["unanswered"] == {
        "not_an_image": ["none/note.jpg"],
        "truncated": ["smile/cut.png"],
        "no_label": ["loose.png"],
    }
    assert judged(home)["all"]["count"] == 24


def refusal(home: Path, capsys: pytest.CaptureFixture[str], *more: object) -> tuple[int, str]:
    code = evaluate(home, *more)
    (printed,) = capsys.readouterr().err.splitlines()[-1:]
    return code, printed


def test_labels_the_model_does_not_know_are_explained(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    put(data, {"none": 2, "grin": 2})
    assert refusal(home, capsys, "--data", data) == (
        1,
        f"{data} has label(s) grin, which the model does not know; it knows none, smile: "
        "rename or move those folders, or train on that data",
    )


def test_labels_that_are_missing_are_told(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    put(data, {"none": 4})
    assert evaluate(home, "--data", data) == 0
    assert f"evaluate: {data} has no pictures of smile\n" in capsys.readouterr().out
    assert judged(home)["all"]["count"] == 4


def test_wrong_usage_says_what_to_do(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    nowhere = tmp_path / "nowhere"
    assert refusal(home, capsys, "--data", empty) == (2, f"{empty} holds no pictures to judge by")
    assert refusal(home, capsys, "--data", nowhere) == (2, f"--data {nowhere} is not a folder")
    assert refusal(home, capsys, "--crops") == (
        2,
        "--crops says what --data holds: give --data too",
    )
    assert refusal(home, capsys, "--group-by", "(")[0] == 2


def test_without_an_answer_there_is_nothing_to_judge(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in TWO:
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "a.jpg").write_text("no picture")
    assert refusal(home, capsys, "--data", tmp_path / "data") == (
        1,
        "no picture got an answer, so there is nothing to judge: not_an_image 2",
    )


def test_the_card_tells_figures_on_other_pictures(home: Path, tmp_path: Path) -> None:
    put(tmp_path / "strangers", TWO, seed=7)
    assert evaluate(home, "--data", tmp_path / "strangers") == 0
    card = (run_of(home) / "README.md").read_text(encoding="utf-8")
    assert "## Figures on val\n" in card and "## Figures on strangers, all\n" in card
    assert str(tmp_path) not in card


def test_the_card_is_of_the_best_weights_alone(home: Path) -> None:
    (run_of(home) / "README.md").unlink(missing_ok=True)
    assert evaluate(home, "--model", run_of(home) / "last.safetensors") == 0
    assert not (run_of(home) / "README.md").exists()


def test_workers_give_the_figures_of_one_process(home: Path) -> None:
    """Whichever worker is done first, the batches are the same."""
    assert evaluate(home, "--data", home / "raw") == 0
    alone = judged(home)
    assert evaluate(home, "--data", home / "raw", "--workers", "2") == 0
    assert judged(home) == alone
