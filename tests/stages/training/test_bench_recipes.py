"""The comparison of recipes on a folder of one's own: figures, a recommendation, nothing twice."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import cv2
import pytest
from small_sets import FOUR, put

from stages.training.recipes import RECIPES

BENCH = Path(__file__).parent.parent.parent.parent / "bench"
SMALL = replace(RECIPES["default"], epochs=3, batch=8, flip_test=False)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("recipes")


@pytest.fixture
def figures(bench: ModuleType) -> ModuleType:
    return importlib.import_module("recipe_figures")


def test_recipes_are_compared_on_a_folder_and_what_is_done_is_kept(
    bench: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put(tmp_path / "bars", dict.fromkeys(FOUR[:2], 15))
    monkeypatch.setattr(bench, "RECIPES", {"one": SMALL, "two": replace(SMALL, epochs=4)})
    curves = tmp_path / "curves.png"
    words = ["recipes.py", str(tmp_path / "bars"), "--recipes", "one", "two", "--folds", "3"]
    words += ["--device", "cpu", "--work", str(tmp_path / "work"), "--curves", str(curves)]
    words += ["--workers", "0"]
    monkeypatch.setattr("sys.argv", words)
    bench.main()
    first = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ") for line in first[-3:-1]]
    assert [row[:2] for row in rows] == [["| bars", "`one`"], ["| bars", "`two`"]]
    assert first[-1].startswith("bars: take --recipe ")
    drawn = cv2.imread(str(curves))
    assert drawn is not None and drawn.std() > 5
    monkeypatch.setattr(bench, "fit", None)  # nothing is trained again
    bench.main()
    assert capsys.readouterr().out.splitlines()[-3:] == first[-3:]


def row(figures: ModuleType, recipe: str, right: int, seconds: float, of: int = 400) -> object:
    answers = {place: float(place < right) for place in range(of)}
    return figures.Row(recipe, answers, 0.9, 0.02, seconds, seconds, 1000.0)


def test_the_fastest_recipe_is_taken_that_no_other_surely_beats(figures: ModuleType) -> None:
    fast, slow = row(figures, "default", 360, 10), row(figures, "best", 362, 100)
    assert figures.recommendation("mine", [fast, slow]) == (
        "mine: take --recipe default; best is not surely better (+0.5% ± 0.7%) and takes 10.0 "
        "times as long"
    )
    better = row(figures, "best", 380, 100)
    assert figures.recommendation("mine", [fast, better]) == (
        "mine: take --recipe best: +5.0% or more over the others"
    )


def test_the_calibration_error_is_that_of_all_folds_of_a_seed_together(figures: ModuleType) -> None:
    # Each answer is sure to 2/3. In one fold all are right, in the other a third: 2/3 in all.
    def training(fold: int, classes: list[int]) -> dict[str, object]:
        return {
            "seed": 0,
            "places": [3 * fold + place for place in range(3)],
            "classes": classes,
            "logits": [[math.log(2), 0.0]] * 3,
            "trained_on": 3,
            "epochs": 1,
            "seconds": 1.0,
            "cpu_seconds": 1.0,
        }

    found = figures.row("mine", [training(0, [0, 0, 0]), training(1, [0, 1, 1])], ["a", "b"])
    assert found.ece == pytest.approx(0, abs=1e-6)
    assert found.accuracy == pytest.approx(4 / 6)
