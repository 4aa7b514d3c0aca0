"""Ray Train's processes end with the weights of those that torchrun starts."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from safetensors.torch import load_file
from small_sets import ALONE, epochs_in, put_divided

from stages.training.record import RunFolder

COUNTS = {"none": 23, "openmouth": 18}, {"none": 7, "openmouth": 6}
RECIPE = ("--epochs", "2", "--batch", "13", "--seed", "1", "--name", "run", "--device", "cpu")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def train(home: Path, start: tuple[str, ...], *more: str) -> subprocess.CompletedProcess[str]:
    put_divided(home / "raw", *COUNTS)
    where = ("--raw", str(home / "raw"), "--processed", str(home / "processed"))
    command = [sys.executable, *start, "-m", "pipeline", "train", *where, "--region", "whole"]
    return subprocess.run(
        [*command, *RECIPE, *more], text=True, capture_output=True, env=ALONE, check=False
    )


@pytest.mark.long
def test_two_workers_of_ray_end_with_the_weights_of_two_processes(tmp_path: Path) -> None:
    starts = {"torchrun": (TORCHRUN, ()), "ray": (("-W", "error"), ("--executor", "ray"))}
    runs = {}
    for name, (start, more) in starts.items():
        done = train(tmp_path / name, start, *more, "--workers", "2")
        assert done.returncode == 0, done.stderr[-3000:]
        assert sum(", 2 processes" in line for line in done.stdout.splitlines()) == 1
        runs[name] = tmp_path / name / "processed" / "runs" / "run"
    theirs, ours = (load_file(run / "best.safetensors") for run in runs.values())
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert (ours[name].double() - theirs[name].double()).abs().max() < 1e-6
    assert epochs_in(runs["ray"]) == [1, 2]
    assert sorted(path.name for path in runs["ray"].iterdir()) == sorted(
        path.name for path in runs["torchrun"].iterdir()
    )


@pytest.mark.long
def test_a_failure_on_ray_is_one_sentence(tmp_path: Path) -> None:
    done = train(tmp_path, ("-W", "error"), "--executor", "ray", "--workers", "2", "--lr", "1e30")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "training on Ray failed: the loss is no longer finite in epoch 1: lower --lr"
    )


def test_a_run_is_recorded_by_another_thread_than_the_first_too(tmp_path: Path) -> None:
    """Ray Train works in such a thread, where no handler of Ctrl-C can be set."""
    entered = []

    def record() -> None:
        with RunFolder(tmp_path, False, lambda *_: None) as folder:
            entered.append(folder.stop_requested)

    thread = threading.Thread(target=record)
    thread.start()
    thread.join()
    assert entered == [False]
