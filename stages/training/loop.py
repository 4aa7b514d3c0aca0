"""The trainer, from top to bottom."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from pipeline.trouble import Trouble, Usage
from stages.training.batches import Source, prepared, source
from stages.training.data import Crops
from stages.training.devices import autocast
from stages.training.distributed import World
from stages.training.models import build, freeze, train_mode
from stages.training.recipes import Recipe
from stages.training.steps import learning_rate, optimizer_of
from stages.training.validation import Validation

Numbers = dict[str, Any]


class Record(Protocol):
    """Keeps what a training run leaves behind."""

    def start(self, state: State, train: Crops, recipe: Recipe) -> None:
        """Bring the state to where an interrupted run was, if there is one to go on from."""
        ...

    def epoch(self, state: State, numbers: Numbers, better: bool) -> None: ...

    @property
    def asked(self) -> bool:
        """Whether the user wants the run to end after this epoch."""
        ...


@dataclass
class State:
    """All that changes during training; `epoch` counts finished ones."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    epoch: int = 0
    best: Numbers = field(default_factory=dict)


def fit(
    recipe: Recipe,
    seed: int,
    train: Crops,
    val: Crops | None,
    labels: Sequence[str],
    device: torch.device,
    record: Record | None = None,
    world: World | None = None,
) -> State:
    """Train a network on `train`; `val`, if given, says which epoch was the best.

    Raises Trouble where the loss overflows.
    """
    world = world or World()
    torch.manual_seed(seed)
    _keep_pages()
    torch.set_float32_matmul_precision("high" if device.type == "cuda" else "highest")
    network = build(recipe, len(labels)).to(device)
    if device.type == "cuda":  # its convolutions want the colours of a pixel side by side
        network = network.to(memory_format=torch.channels_last)
    _try_out(network, recipe, device)
    state = State(network, optimizer_of(recipe, network), torch.Generator().manual_seed(seed))
    if record:
        record.start(state, train, recipe)
    model, crops = world.prepare(network), source(train, len(labels), device)
    validate = Validation(val, recipe, device, world) if val else None
    frozen = recipe.freeze
    bar = tqdm(
        total=recipe.epochs * len(train),
        initial=state.epoch * len(train),
        desc="train",
        unit=" pictures",
        dynamic_ncols=True,
        disable=not (record and world.writes),
    )
    while state.epoch < recipe.epochs:
        began = time.monotonic()
        if frozen and 0 < recipe.unfreeze_at <= state.epoch + 1:
            frozen = freeze(network, recipe, frozen=False)
            model = world.prepare(network)
        train_mode(network)
        trainloss, trainacc, rate = _epoch(model, state, crops, recipe, world, bar)
        state.epoch += 1
        numbers = {
            "epoch": state.epoch,
            "data/trainloss": trainloss,
            "data/trainacc": trainacc,
            **(validate(network) if validate else {}),
            "lr": rate,
            "seconds": round(time.monotonic() - began, 4),
        }
        better = val is not None and (not state.best or _rank(numbers) > _rank(state.best))
        if better:
            state.best = numbers
        if record and world.writes:
            record.epoch(state, numbers, better)
        said = {"epoch": str(state.epoch), "loss": f"{trainloss:.3f}"}
        bar.set_postfix(said | _spoken(numbers, state.best))
        if recipe.patience and val and state.epoch - state.best["epoch"] >= recipe.patience:
            break
        asked = record is not None and record.asked
        if world.sum(torch.tensor(float(asked), device=device)) > 0:
            break
    bar.close()
    return state


def _epoch(
    model: nn.Module, state: State, crops: Source, recipe: Recipe, world: World, bar: tqdm[Any]
) -> tuple[float, float, float]:
    """Train on each picture once: loss and accuracy a picture, and the last learning rate."""
    total = torch.zeros(2, device=crops.device)
    batches = crops.order(recipe, state.generator)
    ready = prepared(crops, batches, recipe, state.generator, world)
    for step, (batch, (seen, target)) in enumerate(zip(batches, ready, strict=True)):
        rate = learning_rate(recipe, state.epoch, state.epoch + step / len(batches))
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        with autocast(crops.device):
            logits = model(seen).float()
        losses = _losses(logits, target, crops, recipe)
        state.optimizer.zero_grad(set_to_none=True)
        (losses.sum() * world.size / len(batch)).backward()
        state.optimizer.step()
        answers = logits.detach().mean(1) if logits.ndim == 3 else logits.detach()
        right = (answers.argmax(1) == target).sum()
        total += torch.stack([losses.detach().sum(), right])
        bar.update(len(batch))
    loss, accuracy = (world.sum(total) / len(crops)).tolist()
    if not math.isfinite(loss):
        raise Trouble(f"the loss is no longer finite in epoch {state.epoch + 1}: lower --lr")
    return loss, accuracy, rate


def _losses(logits: Tensor, target: Tensor, crops: Source, recipe: Recipe) -> Tensor:
    """Cross entropy of each picture; of a committee (N×members×labels) the mean over members."""
    weight = crops.label_weights.to(logits.device) if recipe.balance == "weights" else None
    if logits.ndim == 3:
        logits, target = logits.mT, target[:, None].expand(-1, logits.shape[1])
    smoothing = recipe.label_smoothing
    losses = F.cross_entropy(
        logits, target, weight=weight, label_smoothing=smoothing, reduction="none"
    )
    return losses.mean(1) if losses.ndim == 2 else losses


def _keep_pages() -> None:
    """Have glibc keep freed memory: each batch needs the same again, and fresh pages cost a third
    of the time. The numbers are M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h.
    """
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 1 << 30)
        libc.mallopt(-1, (1 << 31) - 1)


@torch.inference_mode()
def _try_out(network: nn.Module, recipe: Recipe, device: torch.device) -> None:
    """Raise Usage where the network cannot take pictures of the recipe's size."""
    size = recipe.input_size
    try:
        network.eval()(torch.zeros(1, 3, size, size, device=device))
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise Usage(f"{recipe.model} cannot take --input-size {size} ({first})") from error


def _rank(numbers: Numbers) -> tuple[float, float]:
    return numbers["data/valacc"], -numbers["data/valloss"]


def _spoken(numbers: Numbers, best: Numbers) -> dict[str, str]:
    said = {"val": numbers, "best": best}
    return {name: f"{one['data/valacc']:.1%}" for name, one in said.items() if "data/valacc" in one}
