"""Several processes started by torchrun do what one does, at the same number of pictures a step."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_sets import ALONE, crops, epochs_in, flags, metrics_in, put_divided, train
from torch.nn import functional as F

from stages.commands.train import several
from stages.training.distributed import World, joined
from stages.training.loop import NO_RECORD, fit
from stages.training.models import build
from stages.training.recipes import Recipe

TRAIN, VAL = {"none": 23, "openmouth": 18}, {"none": 7, "openmouth": 6}
BATCHES = ("--epochs", "2", "--batch", "13")  # 13, 13, 13, 2
# With this seed no activation lies so near to nought that rounding decides whether ReLU lets it by.
RECIPE = (*BATCHES, "--optimizer", "sgd", "--lr", "0.02", "--seed", "1", "--name", "run")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")

PLAIN = {"epochs": 2, "batch": 13, "optimizer": "sgd", "lr": 0.02}
RECIPES: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "weights": {**PLAIN, "balance": "weights"},
    "frozen": {**PLAIN, "freeze": True},
    "thawed": {**PLAIN, "freeze": True, "unfreeze_at": 2},
    "committee": {**PLAIN, "model": "committee"},
}
HERE = Path(__file__).parent
SCRIPT = f"""import sys
sys.path.append({str(HERE)!r})
import test_distributed
test_distributed.fit_all(sys.argv[1])
"""


def fit_all(folder: str) -> None:
    """Weights of all recipes as files; by this process alone or by several."""
    cpu = torch.device("cpu")
    with joined("cpu") if several() else nullcontext(World()) as world:
        fit_each(folder, cpu, world)


def fit_each(folder: str, cpu: torch.device, world: World) -> None:
    for name, recipe in RECIPES.items():
        sets = crops((23, 18)), crops((7, 6), 5)
        state = fit(Recipe(**recipe), 4, *sets, ["a", "b"], cpu, NO_RECORD, world)
        if world.writes:
            save_file(state.network.state_dict(), f"{folder}/{name}-{world.size}.safetensors")
    write_gradients(folder, world)


def write_gradients(folder: str, world: World) -> None:
    """Of a deep network, in double precision: in single, rounding alone changes them by a tenth."""
    torch.manual_seed(0)
    network = build(Recipe(model="shufflenet_v2_x0_5"), 2).double()
    pictures, classes = torch.rand(41, 3, 64, 64).double(), torch.arange(41) % 2
    part = world.part(41)
    model = world.prepare(network.train())
    logits = model(pictures[part])
    (F.cross_entropy(logits, classes[part], reduction="sum") * world.size / 41).backward()
    found = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
    found |= dict(network.named_buffers())
    if world.writes:
        save_file(found, f"{folder}/gradients-{world.size}.safetensors")


def start(processes: int, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TORCHRUN, str(processes), *command],
        capture_output=True, text=True, timeout=100, env=ALONE,
    )  # fmt: skip


def farthest(one: Path, other: Path) -> float:
    left, right = load_file(one), load_file(other)
    assert left.keys() == right.keys()
    return max((left[name].double() - right[name].double()).abs().max().item() for name in left)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("alone")
    put_divided(home / "raw", TRAIN, VAL)
    assert train(home, *RECIPE) == 0
    return home / "processed" / "runs" / "run"


@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_end_with_the_weights_of_one(
    processes: int, alone: Path, tmp_path: Path
) -> None:
    put_divided(tmp_path / "raw", TRAIN, VAL)
    done = start(processes, "-m", "pipeline", "train", *flags(tmp_path), *RECIPE)
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "processed" / "runs" / "run"
    for name in ("best.safetensors", "last.safetensors"):
        assert farthest(run / name, alone / name) < 1e-4
    assert epochs_in(run) == [1, 2]
    for ours, theirs in zip(metrics_in(run), metrics_in(alone), strict=True):
        for tag in ("data/trainloss", "data/trainacc", "data/valloss", "data/valacc", "lr"):
            assert ours[tag] == pytest.approx(theirs[tag], abs=1e-4)
    only_one_speaks(done.stdout, processes)
    assert {path.name for path in run.iterdir()} == {path.name for path in alone.iterdir()}
    assert len(list((run / "tensorboard").iterdir())) == 1
    described = json.loads((run / "best.json").read_text())
    assert described["labels"] == sorted(TRAIN)


def only_one_speaks(said: str, processes: int) -> None:
    lines = said.splitlines()
    assert sum(f", {processes} processes" in line for line in lines) == 1
    assert sum(line.startswith("train: Validation accuracy") for line in lines) == 1
    assert sum(line.startswith("split: ") for line in lines) == 1


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of some recipes by the loop itself, in one process and in two."""
    folder = tmp_path_factory.mktemp("fitted")
    (folder / "script.py").write_text(SCRIPT)
    fit_all(str(folder))
    done = start(2, str(folder / "script.py"), str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_the_loop_shares_batches_without_changing_their_result(fitted: Path, name: str) -> None:
    one, two = fitted / f"{name}-1.safetensors", fitted / f"{name}-2.safetensors"
    assert farthest(one, two) < 1e-4


def test_gradients_and_batch_norm_are_those_of_all_pictures(fitted: Path) -> None:
    one, two = fitted / "gradients-1.safetensors", fitted / "gradients-2.safetensors"
    assert len(load_file(one)) > 150 and farthest(one, two) < 1e-9
