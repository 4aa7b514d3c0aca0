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
from torch import Tensor, nn
from torch.nn import functional as F

from stages.commands.train_together import several
from stages.training.distributed import World, joined, share_batch_norm
from stages.training.loop import fit
from stages.training.models import build
from stages.training.recipes import Recipe
from stages.training.state import NO_RECORD

TRAIN, VAL = {"none": 23, "openmouth": 18}, {"none": 7, "openmouth": 6}
SEED = 1
BATCHES = ("--epochs", "2", "--batch", "13")  # 13, 13, 13, 2
RECIPE = (
    *BATCHES,
    *("--model", "simpleconv3"),  # no dropout, which each process draws for itself
    *("--optimizer", "sgd", "--lr", "0.02", "--seed", str(SEED), "--name", "run"),
)
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")

PLAIN: dict[str, Any] = {"epochs": 2, "batch": 13, "optimizer": "sgd", "lr": 0.02}
RECIPES: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "weights": {**PLAIN, "balance": "weights"},
    "frozen": {**PLAIN, "freeze": True},
    "thawed": {**PLAIN, "freeze": True, "unfreeze_at": 2},
    "committee": {**PLAIN, "model": "committee"},
}
HERE = Path(__file__).parent
ROUNDING = 1e-3
"""Largest distance between the weights of one process and of several, as a share of the way that
training took them. Sums are rounded in another order, and now and then that decides whether ReLU
lets a number by: up to 1e-4 on the processors tried. Batch norm that is not shared, or gradients
that are not averaged, give 1e-2 and more.
"""
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
        fit_one(f"{folder}/{name}", recipe, cpu, world)
    for name, kind in FAULTY.items():
        fit_one(f"{folder}/{name}", PLAIN, cpu, kind(world.rank, world.size))
    write_gradients(folder, world)


def fit_one(path: str, recipe: dict[str, Any], cpu: torch.device, world: World) -> None:
    sets = crops((23, 18)), crops((7, 6), 5)
    state = fit(Recipe(**recipe), SEED, *sets, ["a", "b"], cpu, NO_RECORD, world)
    if world.writes:
        save_file(state.network.state_dict(), f"{path}-{world.size}.safetensors")


class NoSharedBatchNorm(World):
    """A faulty trainer: each process measures its own pictures."""

    def prepare(self, network: nn.Module) -> nn.Module:
        return nn.parallel.DistributedDataParallel(network) if self.size > 1 else network


class NoSharedGradients(World):
    """A faulty trainer: each process steps by its own pictures' gradient."""

    def prepare(self, network: nn.Module) -> nn.Module:
        return share_batch_norm(network) if self.size > 1 else network


FAULTY: dict[str, type[World]] = {
    "no-batch-norm": NoSharedBatchNorm,
    "no-gradients": NoSharedGradients,
}


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


def as_vector(weights: dict[str, Tensor]) -> Tensor:
    """All numbers in a row, but for counters."""
    kept = [weights[name] for name in sorted(weights) if weights[name].is_floating_point()]
    return torch.cat([value.double().flatten() for value in kept])


def apart(one: Path, other: Path, recipe: Recipe, seed: int) -> float:
    """The distance between two files' weights as a share of the way from the first weights."""
    torch.manual_seed(seed)
    first = as_vector(build(recipe, 2).state_dict())
    left, right = as_vector(load_file(one)), as_vector(load_file(other))
    return float((left - right).norm() / (left - first).norm())


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
        assert apart(run / name, alone / name, Recipe(), SEED) < ROUNDING
    assert epochs_in(run) == [1, 2]
    for ours, theirs in zip(metrics_in(run), metrics_in(alone), strict=True):
        for tag in ("data/trainloss", "data/trainacc", "data/valloss", "data/valacc", "lr"):
            assert ours[tag] == pytest.approx(theirs[tag], abs=1e-3)
    only_one_speaks(done.stdout, processes)
    assert {path.name for path in run.iterdir()} == {path.name for path in alone.iterdir()}
    assert len(list((run / "tensorboard").iterdir())) == 1
    described = json.loads((run / "best.json").read_text())
    assert described["labels"] == sorted(TRAIN)


def only_one_speaks(printed: str, processes: int) -> None:
    lines = printed.splitlines()
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
    assert apart(one, two, Recipe(**RECIPES[name]), SEED) < ROUNDING


def test_shared_batch_norm_measures_bfloat16_in_single_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.distributed.all_reduce", lambda value: None)  # the only process
    given = (torch.randn(64, 2, 24, 24) + 3).bfloat16()
    plain, shared = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    seen = share_batch_norm(shared)(given)
    assert torch.allclose(seen.float(), plain(given.float()), atol=1e-4)
    assert shared.running_mean is not None and plain.running_mean is not None
    assert torch.allclose(shared.running_mean, plain.running_mean, atol=1e-5)


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_in_sharing_is_far_over_what_rounding_does(fitted: Path, name: str) -> None:
    one, two = fitted / f"{name}-1.safetensors", fitted / f"{name}-2.safetensors"
    assert apart(one, two, Recipe(**PLAIN), SEED) > 5 * ROUNDING


def test_gradients_and_batch_norm_are_those_of_all_pictures(fitted: Path) -> None:
    one, two = fitted / "gradients-1.safetensors", fitted / "gradients-2.safetensors"
    assert len(load_file(one)) > 150 and farthest(one, two) < 1e-9
