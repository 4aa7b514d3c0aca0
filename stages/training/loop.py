"""The training loop: epochs, validation, choice of the best epoch."""

from __future__ import annotations

import copy
import ctypes
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from pipeline.progress import progress
from pipeline.trouble import Trouble, Usage
from stages.training.batches import BatchSource
from stages.training.data import Crops
from stages.training.devices import autocast
from stages.training.distributed import ONE_PROCESS, World
from stages.training.heads import freeze, train_mode
from stages.training.models import build
from stages.training.optimizer import Optimizer
from stages.training.recipes import Recipe
from stages.training.schedule import end_of, learning_rate, progress_of, settle
from stages.training.state import NO_RECORD, Numbers, Record, State
from stages.training.stream import Batches, TrainingSet, batches_of
from stages.training.validation import Validation

# A loss over this many times that of guessing means that the learning rate is too high. For
# validation the limit is higher, because batch norm's averages lag behind in the first epochs.
EXPLODED = {"data/trainloss": ("the loss", 10), "data/valloss": ("the validation loss", 100)}


def fit(
    recipe: Recipe,
    seed: int,
    train: TrainingSet,
    val: Crops | None,
    labels: Sequence[str],
    device: torch.device,
    record: Record = NO_RECORD,
    world: World = ONE_PROCESS,
) -> State:
    """Train a network on `train`; `val`, if given, judges each epoch.

    It also decides which epoch is kept as best, where the recipe `chooses_epoch`; else the last one
    is. Raises Trouble where a loss is no longer finite, Usage where the network cannot take the
    recipe's pictures or batches, or a resumed run has had more epochs.
    """
    # Set up.
    recipe = recipe.sized(len(train))
    state = _first_state(recipe, seed, len(labels), device)
    record.start(state, train, recipe)
    if state.epoch > recipe.epochs:
        raise Usage(
            f"the run has had {state.epoch} epochs, so --epochs {recipe.epochs} cannot be its end"
        )
    prefetch = batches_of(train, len(labels), recipe, device, state.rng, world)
    validate = Validation(val, recipe, device, world) if val is not None else None
    model, frozen = world.prepare(state.network), recipe.freeze
    bar = _bar(recipe, len(train), state.epoch, shown=record.shows_progress and world.writes)
    warned = not world.writes
    while state.epoch < end_of(state, recipe):
        # Epoch.
        began = time.monotonic()
        if frozen and 0 < recipe.unfreeze_at <= state.epoch + 1:
            frozen = freeze(state.network, recipe, frozen=False)
            model = world.prepare(state.network)
        train_mode(state.network)
        numbers = _epoch(model, state, prefetch, bar)
        state.epoch += 1

        # Judge.
        if validate:
            numbers |= validate(state.network)
        numbers["seconds"] = round(time.monotonic() - began, 4)
        _require_finite(numbers)
        if not warned and (warning := _explosion(numbers, math.log(len(labels)))):
            warned = True
            print(warning)
        better = validate is not None and (
            not recipe.chooses_epoch or not state.best or _rank(numbers) > _rank(state.best)
        )
        if better:
            state.best = numbers
        settle(state, numbers, recipe)

        # Keep.
        if world.writes:
            record.epoch(state, numbers, better)
        bar.total = end_of(state, recipe) * len(train)
        bar.set_postfix(_progress(numbers, state.best))
        if recipe.patience and validate and state.epoch - state.best["epoch"] >= recipe.patience:
            break
        if world.sum(torch.tensor(float(record.stop_requested), device=device)) > 0:
            break
    bar.close()
    return state


def _first_state(recipe: Recipe, seed: int, labels: int, device: torch.device) -> State:
    """A network with first weights on the device, its optimizer and its random numbers."""
    torch.manual_seed(seed)
    _keep_pages()
    torch.set_float32_matmul_precision("high" if device.type == "cuda" else "highest")
    network = build(recipe, labels).to(device)
    # In bfloat16, convolutions are faster with a pixel's channels side by side.
    if device.type == "cuda" or recipe.bfloat16:
        network = network.to(memory_format=torch.channels_last)
    _try_out(network, recipe, device)
    return State(network, Optimizer(recipe, network), torch.Generator().manual_seed(seed))


def _bar(recipe: Recipe, count: int, epoch: int, shown: bool) -> tqdm[Any]:
    return progress(
        total=recipe.epochs * count,
        initial=epoch * count,
        desc="train",
        unit=" pictures",
        disable=not shown,
    )


def _epoch(model: nn.Module, state: State, prefetch: Batches, bar: tqdm[Any]) -> Numbers:
    """Train on each picture once; returns mean loss and accuracy per picture, and the last
    learning rate.
    """
    source, recipe, world = prefetch.source, prefetch.recipe, prefetch.world
    total = torch.zeros(2, device=source.device)
    seen = 0
    steps, batches = prefetch.epoch()
    for step, (pictures, target, whole) in enumerate(batches):
        rate = learning_rate(recipe, state.epoch, progress_of(state, step / steps))
        with autocast(source.device, recipe.bfloat16):
            logits = model(pictures).float()
        losses = _losses(logits, target, source, recipe)
        state.optimizer.zero_grad()
        # DDP averages gradients over processes; this makes it the mean over the whole batch.
        (losses.sum() * world.size / whole).backward()
        state.optimizer.step(rate)
        answers = logits.detach().mean(1) if logits.ndim == 3 else logits.detach()
        right = (answers.argmax(1) == target).sum()
        total += torch.stack([losses.detach().sum(), right])
        seen += whole
        bar.update(whole)
    loss, accuracy = (world.sum(total) / seen).tolist()
    return {
        "epoch": state.epoch + 1,
        "data/trainloss": loss,
        "data/trainacc": accuracy,
        "lr": rate,
    }


def _losses(logits: Tensor, target: Tensor, source: BatchSource, recipe: Recipe) -> Tensor:
    """Cross entropy of each picture; of a committee (N×members×labels) the mean over members."""
    weight = source.label_weights.to(logits.device) if recipe.balance == "weights" else None
    if logits.ndim == 3:
        logits, target = logits.mT, target[:, None].expand(-1, logits.shape[1])
    smoothing = recipe.label_smoothing
    losses = F.cross_entropy(
        logits, target, weight=weight, label_smoothing=smoothing, reduction="none"
    )
    return losses.mean(1) if losses.ndim == 2 else losses


def _require_finite(numbers: Numbers) -> None:
    """Raise Trouble where a loss is infinite or no number."""
    for tag, (name, _) in EXPLODED.items():
        if not math.isfinite(numbers.get(tag, 0.0)):
            raise Trouble(f"{name} is no longer finite in epoch {numbers['epoch']}: lower --lr")


def _explosion(numbers: Numbers, guess: float) -> str:
    """A line that tells of a loss far over that of a guess; "" where there is none."""
    for tag, (name, times) in EXPLODED.items():
        if numbers.get(tag, 0.0) > times * guess:
            return (
                f"train: {name} was {numbers[tag]:,.1f} in epoch {numbers['epoch']} (a guess has "
                f"{guess:.1f}): training diverges; stop it and lower --lr"
            )
    return ""


def _keep_pages() -> None:
    """Make glibc keep freed memory. Every batch needs it again; getting fresh pages took a third
    of the time. The numbers are M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h.
    """
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 1 << 30)
        libc.mallopt(-1, (1 << 31) - 1)


def _try_out(network: nn.Module, recipe: Recipe, device: torch.device) -> None:
    """Raise Usage where the network cannot take the recipe's pictures or, with --batch 1, train on
    one picture.
    """
    size = recipe.input_size
    picture = torch.zeros(1, 3, size, size, device=device)
    try:
        with torch.inference_mode():
            network.eval()(picture)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise Usage(f"{recipe.model} cannot take --input-size {size} ({first})") from error
    if recipe.batch > 1:
        return
    try:
        with torch.random.fork_rng(), torch.no_grad():  # dropout draws numbers
            other = copy.deepcopy(network)
            train_mode(other)
            other(picture)
    except ValueError as error:
        raise Usage(
            f"--batch 1 is too few for {recipe.model}: its batch norm compares the pictures of a "
            "batch; give --batch 2 or more"
        ) from error


def _rank(numbers: Numbers) -> tuple[float, float]:
    return numbers["data/valacc"], -numbers["data/valloss"]


def _progress(numbers: Numbers, best: Numbers) -> dict[str, str]:
    shown = {"epoch": str(numbers["epoch"]), "loss": f"{numbers['data/trainloss']:.3f}"}
    for name, row in (("val", numbers), ("best", best)):
        if "data/valacc" in row:
            shown[name] = f"{row['data/valacc']:.1%}"
    return shown
