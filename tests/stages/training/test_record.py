"""A run that is killed or stopped goes on, and leaves what an undisturbed one leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from small_sets import ALONE, changed, crops, epochs_in, flags, metrics_in, put, train, weights_of
from tensorboard.backend.event_processing import (  # type: ignore[import-untyped]
    event_accumulator,
)
from torch import nn

from stages.training import record
from stages.training.loop import fit
from stages.training.recipes import Recipe
from stages.training.state import Numbers, State

EPOCHS = 16
LONG = ("--epochs", str(EPOCHS), "--batch", "16", "--name", "long")
TAGS = {"data/trainloss", "data/trainacc", "data/valloss", "data/valacc"}
LABELS = {"none": 30, "openmouth": 30}


def prepared(home: Path) -> Path:
    put(home / "raw", LABELS)
    return home


def run_of(home: Path) -> Path:
    return home / "processed" / "runs" / "long"


def unfinished(home: Path) -> Path:
    return run_of(home).with_name("long.unfinished")


def weights_in(home: Path) -> dict[str, bytes]:
    return {name: (run_of(home) / f"{name}.safetensors").read_bytes() for name in ("best", "last")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = prepared(tmp_path_factory.mktemp("undisturbed"))
    assert train(home, *LONG) == 0
    return home


def read_board(run: Path) -> Any:
    events = event_accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return events


def test_a_run_leaves_these_files_and_no_others(undisturbed: Path) -> None:
    run = run_of(undisturbed)
    assert {path.name for path in run.iterdir()} == {
        "best.json", "best.safetensors", "last.json", "last.safetensors", "labels.json",
        "plan.json", "run.json", "metrics.jsonl", "scalars.json", "curves.png", "confusion.png",
        "evaluation.json", "tensorboard", "README.md", "state.pt",
    }  # fmt: skip
    assert json.loads((run / "labels.json").read_text()) == sorted(LABELS)
    assert epochs_in(run) == list(range(1, EPOCHS + 1))
    for name in ("curves.png", "confusion.png"):
        image = cv2.imread(str(run / name))
        assert image is not None and image.std() > 5


def test_tensorboard_shows_the_numbers_of_metrics(undisturbed: Path) -> None:
    events, rows = read_board(run_of(undisturbed)), metrics_in(run_of(undisturbed))
    assert set(events.Tags()["scalars"]) == TAGS | {"lr"}
    assert set(events.Tags()["images"]) == {"batch", "confusion"}
    layers = [node.name for node in events.Graph().node]
    assert any("Conv2d[0]" in one for one in layers) and any("Linear[8]" in one for one in layers)
    scalars = json.loads((run_of(undisturbed) / "scalars.json").read_text())
    assert scalars.keys() == TAGS | {"lr"}
    for tag in TAGS | {"lr"}:
        shown = [(one.step, one.value) for one in events.Scalars(tag)]
        expected = [[row["epoch"], row[tag]] for row in rows]
        assert scalars[tag] == expected
        assert shown == [(epoch, pytest.approx(value)) for epoch, value in expected]


def test_the_evaluation_is_that_of_the_best_weights_which_are_the_last(undisturbed: Path) -> None:
    run = run_of(undisturbed)
    best = metrics_in(run)[-1]
    written = json.loads((run / "evaluation.json").read_text())
    assert written.keys() == {"val"} and written["val"]["count"] == 6
    assert written["val"]["accuracy"] == pytest.approx(best["data/valacc"])
    assert 0 < written["val"]["loss"] < best["data/valloss"]  # the temperature was chosen so
    assert json.loads((run / "best.json").read_text())["numbers"] == best
    assert json.loads((run / "last.json").read_text())["numbers"] == metrics_in(run)[-1]
    assert json.loads((run / "run.json").read_text())["best"] == best


Stopped = tuple[Path, signal.Signals, int, list[str], list[int]]


@pytest.fixture(scope="module", params=[signal.SIGKILL, signal.SIGINT])
def stopped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """A run that a signal reached after its third epoch, then one that went on with it."""
    home = prepared(tmp_path_factory.mktemp("stopped"))
    command = [sys.executable, "-m", "pipeline", "train", *flags(home), *LONG]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ALONE
    ) as running:
        while running.poll() is None and len(epochs_in_part(unfinished(home))) < 3:
            time.sleep(0.002)
        running.send_signal(request.param)
        printed, _ = running.communicate(timeout=60)
    before = epochs_in_part(unfinished(home))
    assert not run_of(home).exists() and not (unfinished(home) / "run.json").exists()
    assert train(home, *LONG, "--resume") == 0
    return home, request.param, running.returncode, printed.splitlines(), before


def epochs_in_part(run: Path) -> list[int]:
    """The same where the last line may be half written."""
    path = run / "metrics.jsonl"
    return list(range(path.read_bytes().count(b"\n"))) if path.exists() else []


def test_a_stopped_run_goes_on_to_the_same_weights(stopped: Stopped, undisturbed: Path) -> None:
    home = stopped[0]
    assert 3 <= len(stopped[4]) < EPOCHS
    assert weights_in(home) == weights_in(undisturbed)


def test_a_resumed_run_has_each_epoch_once_with_the_same_numbers(
    stopped: Stopped, undisturbed: Path
) -> None:
    def timeless(home: Path) -> list[Numbers]:
        return [{**row, "seconds": 0} for row in metrics_in(run_of(home))]

    assert timeless(stopped[0]) == timeless(undisturbed)
    run = run_of(stopped[0])
    assert {path.name for path in run.iterdir()} == {
        path.name for path in run_of(undisturbed).iterdir()
    }


def test_a_resumed_run_shows_each_epoch_once_in_tensorboard(stopped: Stopped) -> None:
    if stopped[1] == signal.SIGKILL:
        return  # a file cut in the middle of a record is read differently from time to time
    events = read_board(run_of(stopped[0]))
    for tag in TAGS:
        assert [one.step for one in events.Scalars(tag)] == list(range(1, EPOCHS + 1))


def test_ctrl_c_finishes_the_epoch_and_says_how_to_go_on(stopped: Stopped) -> None:
    _, number, code, printed, before = stopped
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL
        return
    assert code == 1
    assert printed[-1] == f"train: stopped after epoch {len(before)}; --resume goes on from there"
    assert "train: ending after this epoch (Ctrl-C again: at once)" in printed


class Dies(Exception):
    """Stands for the end of the process."""


class Stops(record.RunFolder):
    """A run folder whose process dies after an epoch."""

    after = 0

    def epoch(self, state: State, numbers: Numbers, better: bool) -> None:
        super().epoch(state, numbers, better)
        if state.epoch == self.after:
            raise Dies


TINY = {"batch": 8, "input_size": 32, "resize": 32, "flip_test": False, "epochs": 4}
RECIPES: dict[str, dict[str, Any]] = {
    "dropout": {"model": "resnet9", **TINY},
    "adam": {"model": "resnet9", **TINY, "optimizer": "adam", "lr": 0.001},
    "frozen": {"model": "mobilenet_v3_small", **TINY, "freeze": True},
    "thawed": {"model": "mobilenet_v3_small", **TINY, "freeze": True, "unfreeze_at": 2},
    "sampler": {"model": "resnet9", **TINY, "balance": "sampler", "schedule": "step"},
}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("after", [2])
def test_any_recipe_goes_on_as_if_nothing_had_happened(
    name: str, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "STATE_SECONDS", -1.0)
    recipe, sets = Recipe(**RECIPES[name]), (crops((10, 8)), crops((3, 3), 5))
    cpu = torch.device("cpu")

    def save(_: str, network: nn.Module, numbers: Numbers) -> None:
        assert numbers["epoch"] > 0 and len(network.state_dict()) > 0

    whole = fit(recipe, 3, *sets, ["a", "b"], cpu)
    with pytest.raises(Dies), Stops(tmp_path, False, save) as folder:
        folder.after = after  # type: ignore[attr-defined]
        fit(recipe, 3, *sets, ["a", "b"], cpu, folder)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["epoch"] == after
    torch.rand(9)
    with record.RunFolder(tmp_path, True, save) as folder:
        state = fit(recipe, 3, *sets, ["a", "b"], cpu, folder)
    assert epochs_in(tmp_path) == [1, 2, 3, 4]
    assert not list(changed(weights_of(whole.network), weights_of(state.network)))
    assert {**whole.best, "seconds": 0} == {**state.best, "seconds": 0}


START = """
import sys
from pathlib import Path
import torch
from small_sets import crops
from stages.training.loop import fit
from stages.training.recipes import Recipe
from stages.training.record import RunFolder

for optimizer in ("adam", "sgd"):
    recipe = Recipe(epochs=1, batch=8, optimizer=optimizer)
    folder = Path(sys.argv[1], optimizer)
    folder.mkdir()
    with RunFolder(folder, False, lambda *_: None) as record:
        fit(recipe, 0, crops((8, 8)), crops((2, 2)), ["a", "b"], torch.device("cpu"), record)
slow = ("torch._dynamo", "torch._inductor", "torch.distributed.tensor", "sympy", "matplotlib")
print([name for name in slow if name in sys.modules])
"""


def test_training_starts_without_importing_torchs_compiler(tmp_path: Path) -> None:
    """Its import takes as long as training on a small set."""
    command = [sys.executable, "-c", START, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=ALONE)
    assert done.stdout == "[]\n", done.stdout + done.stderr
