"""Folds: groups stay whole, every picture is judged once, by a model that never saw its group."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from small_sets import put_divided, train

from stages.training.calibration import temperature_of
from stages.training.repeat import _calibrated

PERSON = r"/(p\d+)-"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    put_divided(tmp_path / "raw", {"none": 20, "smile": 16}, {"none": 8, "smile": 8})
    return tmp_path


QUICK = ("--epochs", "2", "--batch", "16", "--name", "quick")


def test_folds_judge_each_picture_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(home, *QUICK, "--folds", "3", "--group-by", PERSON) == 0
    printed = capsys.readouterr().out.splitlines()
    run = home / "processed" / "runs" / "quick-folds"
    rows = list(csv.DictReader((run / "predictions.csv").read_text().splitlines()))
    raw = home / "raw"
    on_disk = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*.png"))
    assert sorted(row["file"] for row in rows) == on_disk and len(rows) == 52
    assert list(rows[0]) == ["file", "label", "predicted", "p_none", "p_smile"]
    for row in rows:
        assert row["label"] == row["file"].split("/")[1]
        none, smile = float(row["p_none"]), float(row["p_smile"])
        assert none + smile == pytest.approx(1, abs=2e-4)
        assert row["predicted"] == ("none" if none >= smile else "smile") or none == smile
    written = json.loads((run / "evaluation.json").read_text())
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert written["together"]["count"] == 52
    assert written["together"]["accuracy"] == pytest.approx(right / 52)
    assert len(written["accuracy"]["values"]) == 3 and written["settings"]["folds"] == 3
    pairs = Counter((row["label"], row["predicted"]) for row in rows)
    names = ("none", "smile")
    confusion = [[pairs[true, guess] for guess in names] for true in names]
    assert written["together"]["confusion"] == confusion
    assert sum(line.startswith("seed 0, fold ") for line in printed) == 3
    assert f"every answer: {run / 'predictions.csv'}" == printed[-1]


def test_seeds_repeat_a_run_and_judge_val_alone(home: Path) -> None:
    assert train(home, *QUICK, "--seeds", "2", "--seed", "5") == 0
    run = home / "processed" / "runs" / "quick-seeds"
    rows = list(csv.DictReader((run / "predictions.csv").read_text().splitlines()))
    assert len(rows) == 16 and all(row["file"].startswith("val/") for row in rows)
    written = json.loads((run / "evaluation.json").read_text())
    values = written["accuracy"]["values"]
    assert len(values) == 2
    assert written["accuracy"]["mean"] == pytest.approx(sum(values) / 2)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--folds", "9", "--group-by", r"/(\w)\w*/"), "2 group(s) do not fill 9 folds"),
        (("--folds", "2", "--group-by", "(p"), "--group-by '(p' is no regular expression"),
        (("--folds", "1"), "--folds must be 2 or more"),
        (("--seeds", "0"), "--seeds 1 or more"),
    ],
)
def test_folds_that_cannot_be_had_give_code_2(
    home: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    assert train(home, *QUICK, *more) == 2
    assert message in capsys.readouterr().err


def test_each_fold_gets_the_temperature_that_the_others_ask_for() -> None:
    rng = torch.Generator().manual_seed(0)
    meant = 2 * torch.randn(3000, 2, generator=rng)
    classes = torch.multinomial(meant.softmax(1), 1, generator=rng)[:, 0]
    parts = [list(range(start, start + 1000)) for start in (0, 1000, 2000)]
    meant[2000:] *= 3  # the third fold alone is too sure
    calibrated = _calibrated(meant, classes, parts)
    others = temperature_of(meant[:2000], classes[:2000])
    assert others == pytest.approx(1, abs=0.1)
    assert torch.allclose(calibrated[2000:], meant[2000:] / others)
    first = temperature_of(meant[1000:], classes[1000:])
    assert first > 1.2 and torch.allclose(calibrated[:1000], meant[:1000] / first)
    alone = list(range(3000))
    assert torch.equal(_calibrated(meant, classes, [alone]), meant)
