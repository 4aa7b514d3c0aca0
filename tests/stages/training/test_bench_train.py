"""The comparison of the trainers says what it measured, and draws it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from small_sets import crops, put_divided

from stages.training.recipes import RECIPES

BENCH = Path(__file__).parent.parent.parent.parent / "bench"
CPU = torch.device("cpu")


def test_both_loops_are_timed_and_their_curves_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCH)
    bench, plain_loop = importlib.import_module("train"), importlib.import_module("plain_loop")
    put_divided(tmp_path, {"none": 12, "smile": 12}, {"none": 4, "smile": 4})
    slow = list(plain_loop.train(tmp_path, 2, 16, CPU, workers=0))
    data = bench.Data({"train": crops((12, 12)), "val": crops((4, 4), 5)}, ["none", "smile"])
    clock = bench.ours(replace(RECIPES["classic"], epochs=2), data, CPU)
    bench.compare_times(slow, clock, 0.5)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("plain loop: 2 epochs in ")
    assert printed[1].endswith("; decoding 0.5 s")
    bench.draw_curves(slow, clock, tmp_path / "curves.png")
    drawn = cv2.imread(str(tmp_path / "curves.png"))
    assert drawn is not None and drawn.std() > 5
