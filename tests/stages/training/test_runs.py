"""A run is built beside, and takes its name when it is finished: a good model is never lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_sets import epochs_in, put, train

from pipeline.workbench import Workbench
from stages.commands.model_choice import resolve_model
from stages.training.runs import Run

SHORT = ("--epochs", "2", "--batch", "16", "--name", "mine")
DIVERGING = (*SHORT, "--lr", "1e30", "--schedule", "constant")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a finished run of two epochs."""
    put(tmp_path / "raw", {"none": 24, "smile": 24})
    assert train(tmp_path, *SHORT) == 0
    return tmp_path


def run_of(home: Path) -> Path:
    return home / "processed" / "runs" / "mine"


def unfinished(home: Path) -> Path:
    return home / "processed" / "runs" / "mine.unfinished"


def contents(home: Path) -> dict[Path, bytes]:
    runs = home / "processed" / "runs"
    return {path: path.read_bytes() for path in sorted(runs.rglob("*")) if path.is_file()}


def test_a_run_that_diverges_leaves_the_good_one_and_is_not_taken(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(home)
    assert train(home, *DIVERGING) == 1
    assert "is no longer finite in epoch " in capsys.readouterr().err
    after = contents(home)
    assert {path: data for path, data in after.items() if path in before} == before
    assert unfinished(home).is_dir() and resolve_model(
        None, Workbench(home / "processed")
    ) == run_of(home)
    assert train(home, *SHORT) == 0
    assert "train: up to date. " in capsys.readouterr().out


def test_a_finished_run_takes_its_name_and_leaves_nothing_beside(home: Path) -> None:
    assert train(home, *DIVERGING) == 1
    assert train(home, *SHORT, "--seed", "5") == 0
    assert [path.name for path in run_of(home).parent.iterdir()] == ["mine"]
    assert json.loads((run_of(home) / "best.json").read_text())["seed"] == 5


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (("--lr", "0.01"), "lr 0.003 → 0.01"),
        (("--epochs", "1"), "epochs 2 → 1"),
        (("--seed", "3", "--flip", "0"), "flip 0.5 → 0.0, seed 0 → 3"),
    ],
)
def test_resume_with_other_settings_is_refused_and_deletes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], changes: tuple[str, ...], named: str
) -> None:
    before = contents(home)
    assert train(home, *SHORT, *changes, "--resume") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"--resume cannot go on with {run_of(home)}: it has other settings or data ({named}); "
        "give those, or leave out --resume to begin again"
    )
    assert contents(home) == before


def test_resume_with_other_pictures_is_refused_and_deletes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(home, *DIVERGING) == 1
    before = contents(home)
    next((home / "raw" / "smile").iterdir()).unlink()
    assert train(home, *DIVERGING, "--resume") == 2
    assert f"with {unfinished(home)}: it has other settings or data (other data); " in (
        capsys.readouterr().err
    )
    assert contents(home) == before


def test_resume_with_more_epochs_lengthens_a_finished_run(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = (run_of(home) / "metrics.jsonl").read_text()
    assert train(home, *SHORT, "--epochs", "4", "--resume") == 0
    assert "train: going on after epoch 2\n" in capsys.readouterr().out
    assert epochs_in(run_of(home)) == [1, 2, 3, 4]
    assert (run_of(home) / "metrics.jsonl").read_text().startswith(first)
    assert json.loads((run_of(home) / "best.json").read_text())["recipe"]["epochs"] == 4
    assert train(home, *SHORT, "--epochs", "4") == 0
    assert "train: up to date. " in capsys.readouterr().out


def test_a_lengthened_run_ends_with_the_weights_of_a_long_one(home: Path, tmp_path: Path) -> None:
    """With a rate that does not depend on the run's length."""
    constant = (*SHORT, "--schedule", "constant", "--seed", "1")
    assert train(home, *constant) == 0
    assert train(home, *constant, "--epochs", "4", "--resume") == 0
    lengthened = (run_of(home) / "last.safetensors").read_bytes()
    assert train(home, *constant, "--epochs", "4", "--name", "long") == 0
    assert (run_of(home).with_name("long") / "last.safetensors").read_bytes() == lengthened


def test_resume_without_a_run_begins_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(home, "--epochs", "1", "--name", "other", "--resume") == 0
    assert "train: there is no run other to go on with, so a new one begins\n" in (
        capsys.readouterr().out
    )


def test_a_damaged_state_gives_a_sentence_and_deletes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = run_of(home) / "state.pt"
    state.write_bytes(state.read_bytes()[:2000])
    before = contents(home)
    assert train(home, *SHORT, "--epochs", "3", "--resume") == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"{unfinished(home)}/state.pt is damaged, so training cannot go on from it: "
        "leave out --resume"
    )
    assert {path: data for path, data in contents(home).items() if path in before} == before


def put_run(folder: Path, word: str, finished: bool = True) -> None:
    folder.mkdir(parents=True)
    (folder / "best.safetensors").write_text(word)
    if finished:
        (folder / "run.json").write_text(json.dumps({"plan": word}))


def test_a_kill_before_the_new_run_took_its_name_is_mended(tmp_path: Path) -> None:
    put_run(tmp_path / "a", "old")
    put_run(tmp_path / "a.unfinished", "new")
    assert Run(tmp_path / "a").finished() == {"plan": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_kill_while_the_new_run_took_its_name_is_mended(tmp_path: Path) -> None:
    put_run(tmp_path / "a.replaced", "old")
    put_run(tmp_path / "a.unfinished", "new")
    assert Run(tmp_path / "a").finished() == {"plan": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_unfinished_run_is_not_a_finished_one(tmp_path: Path) -> None:
    put_run(tmp_path / "a.unfinished", "new", finished=False)
    assert Run(tmp_path / "a").finished() == {}
    assert (tmp_path / "a.unfinished").exists()
