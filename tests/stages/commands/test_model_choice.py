"""Which model a command takes: the one that is named, else the newest finished run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.trouble import Trouble
from pipeline.workbench import Workbench
from stages.commands.model_choice import newest, resolve_model


def put_run(folder: Path, age: float, finished: bool = True) -> Path:
    folder.mkdir(parents=True)
    weights = folder / "best.safetensors"
    weights.touch()
    os.utime(weights, (1e9 - age, 1e9 - age))
    if finished:
        (folder / "run.json").touch()
    return folder


def test_the_newest_finished_run_is_taken(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    put_run(runs / "c", 3)
    newest_run = put_run(runs / "b", 1)
    put_run(runs / "a", 2)
    put_run(runs / "d.unfinished", 0, finished=False)
    (runs / "e.unfinished").mkdir()
    assert newest(runs) == newest_run
    assert resolve_model(None, Workbench(tmp_path)) == newest_run


def test_an_unfinished_run_is_taken_only_where_it_is_named(tmp_path: Path) -> None:
    unfinished = put_run(tmp_path / "runs" / "a.unfinished", 0, finished=False)
    assert resolve_model(unfinished, Workbench(tmp_path)) == unfinished
    with pytest.raises(Trouble) as trouble:
        resolve_model(None, Workbench(tmp_path))
    assert str(trouble.value) == (
        f"{tmp_path}/runs holds no model: `make train` makes one, or give --model "
        f"({unfinished} is unfinished: --model takes it all the same)"
    )


def test_without_a_run_a_sentence_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(Trouble) as trouble:
        newest(tmp_path / "runs")
    assert str(trouble.value) == (
        f"{tmp_path}/runs holds no model: `make train` makes one, or give --model"
    )
