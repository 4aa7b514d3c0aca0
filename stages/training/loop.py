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
from stages.training.augment import apply, centre, draw
from stages.training.data import Crops
from stages.training.distributed import World
from stages.training.models import build, freeze, train_mode
from stages.training.recipes import Recipe

Numbers = dict[str, Any]
WARM = 0.3  # share of a one-cycle run that the learning rate rises


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


def device_of(name: str) -> torch.device:
    """The device asked for; "auto" is the GPU where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def spoken(device: torch.device) -> str:
    """The device, for a person."""
    if device.type == "cuda":
        return f"GPU ({torch.cuda.get_device_name(device)})"
    return f"CPU ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


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
    _try_out(network, recipe, device)
    state = State(network, _optimizer(recipe, network), torch.Generator().manual_seed(seed))
    if record:
        record.start(state, train, recipe)
    model = world.prepare(network)
    pictures = _resident(train.pictures, device)
    classes = train.classes.to(device)
    weights = _label_weights(train, len(labels))
    loss_weights = weights.to(device) if recipe.balance == "weights" else None
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
        total = torch.zeros(2, device=device)
        batches = _order(train, weights, recipe, state.generator)
        for step, batch in enumerate(batches):
            rate = learning_rate(recipe, state.epoch, state.epoch + step / len(batches))
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            what = draw(len(batch), pictures.shape[2], recipe, state.generator)
            mine = world.part(len(batch))
            part = batch[mine]
            seen = apply(_pick(pictures, part, device), what[mine].to(device), recipe)
            target = classes[part.to(device)]
            logits = model(seen)
            losses = F.cross_entropy(
                logits,
                target,
                weight=loss_weights,
                label_smoothing=recipe.label_smoothing,
                reduction="none",
            )
            state.optimizer.zero_grad(set_to_none=True)
            (losses.sum() * world.size / len(batch)).backward()
            state.optimizer.step()
            right = (logits.detach().argmax(1) == target).sum()
            total += torch.stack([losses.detach().sum(), right])
            bar.update(len(batch))
        trainloss, trainacc = (world.sum(total) / len(train)).tolist()
        if not math.isfinite(trainloss):
            raise Trouble(f"the loss is no longer finite in epoch {state.epoch + 1}: lower --lr")
        state.epoch += 1
        numbers = {
            "epoch": state.epoch,
            "data/trainloss": trainloss,
            "data/trainacc": trainacc,
            **(_validate(network, val, recipe, device, world) if val else {}),
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


def learning_rate(recipe: Recipe, epoch: int, progress: float) -> float:
    """The rate after `epoch` whole epochs, `progress` of them with the part begun."""
    if recipe.schedule == "constant":
        return recipe.lr
    if recipe.schedule == "step":
        return recipe.lr * recipe.step_gamma ** (epoch // recipe.step_epochs)
    share = progress / recipe.epochs  # one cycle: up from 1/25, down to 1/10,000, on cosines
    low, far = (1 / 25, share / WARM) if share < WARM else (1e-4, (1 - share) / (1 - WARM))
    return recipe.lr * (low + (1 - low) * (1 - math.cos(math.pi * far)) / 2)


@torch.inference_mode()
def predict(network: nn.Module, pictures: Tensor, recipe: Recipe, device: torch.device) -> Tensor:
    """N×labels logits (on the CPU) of N×3×S×S uint8 crops, in batches."""
    network.eval()
    parts = []
    for part in pictures.split(512):
        what = centre(len(part), part.shape[2], recipe).to(device)
        seen = apply(part.to(device), what, recipe)
        logits = network(seen)
        if recipe.flip_test:
            logits = (logits + network(seen.flip(3))) / 2
        parts.append(logits.float().cpu())
    return torch.cat(parts)


def _validate(
    network: nn.Module, val: Crops, recipe: Recipe, device: torch.device, world: World
) -> Numbers:
    mine = world.part(len(val))
    total = torch.zeros(2, dtype=torch.float64, device=device)
    if mine.start < mine.stop:
        logits, classes = predict(network, val.pictures[mine], recipe, device), val.classes[mine]
        loss = F.cross_entropy(logits, classes, reduction="sum").double()
        right = (logits.argmax(1) == classes).sum().double()
        total += torch.stack([loss, right]).to(device)
    loss, accuracy = (world.sum(total) / len(val)).tolist()
    return {"data/valloss": loss, "data/valacc": accuracy}


def _rank(numbers: Numbers) -> tuple[float, float]:
    return numbers["data/valacc"], -numbers["data/valloss"]


def _spoken(numbers: Numbers, best: Numbers) -> dict[str, str]:
    said = {"val": numbers, "best": best}
    return {name: f"{one['data/valacc']:.1%}" for name, one in said.items() if "data/valacc" in one}


def _resident(pictures: Tensor, device: torch.device) -> Tensor:
    """The pictures on the device where they take at most half of its free memory."""
    if device.type != "cuda":
        return pictures
    free, _ = torch.cuda.mem_get_info(device)
    return pictures.to(device) if pictures.nbytes < free / 2 else pictures


def _pick(pictures: Tensor, part: Tensor, device: torch.device) -> Tensor:
    """A batch on the device, from there or from (mapped) memory."""
    if pictures.device == device or device.type == "cpu":
        return pictures.index_select(0, part.to(pictures.device))
    return pictures[part].pin_memory().to(device, non_blocking=True)


def _label_weights(train: Crops, labels: int) -> Tensor:
    """A weight a label, inverse to its size, 1 on average over the pictures."""
    counts = torch.bincount(train.classes, minlength=labels).clamp(min=1)
    return len(train) / (labels * counts.float())


def _order(
    train: Crops, weights: Tensor, recipe: Recipe, generator: torch.Generator
) -> list[Tensor]:
    """The places of an epoch's pictures, batch by batch."""
    if recipe.balance == "sampler":
        drawn = torch.multinomial(weights[train.classes], len(train), True, generator=generator)
    else:
        drawn = torch.randperm(len(train), generator=generator)
    batches = list(torch.split(drawn, recipe.batch))
    if len(batches) > 1 and len(batches[-1]) == 1:  # batch norm cannot learn from one picture
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {
            "params": [one for one in network.parameters() if one.ndim > 1],
            "weight_decay": recipe.weight_decay,
        },
        {"params": [one for one in network.parameters() if one.ndim <= 1]},
    ]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr, fused=True)
    return torch.optim.SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        fused=not recipe.freeze,  # it wants a momentum for all weights or none
    )
