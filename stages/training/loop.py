"""The trainer, from top to bottom."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from pipeline.trouble import Trouble
from stages.training.augment import centre_boxes, random_boxes, resample
from stages.training.data import Crops
from stages.training.models import build
from stages.training.recipes import Recipe


@dataclass(frozen=True)
class Score:
    """Means over all pictures of a set."""

    loss: float
    accuracy: float


def device_of(name: str) -> torch.device:
    """The device asked for; "auto" is the GPU where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def fit(
    recipe: Recipe,
    seed: int,
    train: Crops,
    val: Crops,
    labels: int,
    device: torch.device,
    folder: Path,
    save: Callable[[str, nn.Module, dict[str, Any]], None],
) -> dict[str, Any]:
    """Train a network; returns the best epoch's numbers.

    `save(name, network, numbers)` is called for "last" after each epoch and for "best" whenever
    validation accuracy rises (or stays, at a lower loss). One line an epoch goes to
    `folder`/metrics.jsonl, the same numbers to TensorBoard. Raises Trouble where loss overflows.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = build(recipe.model, labels).to(device)
    optimizer = _optimizer(recipe, network)
    steps = -(-len(train) // recipe.batch)
    schedule = _schedule(recipe, optimizer, steps)
    pictures, classes = train.pictures.to(device), train.classes.to(device)
    best: dict[str, Any] = {}
    bar = tqdm(total=recipe.epochs * len(train), unit=" pictures", desc="train", dynamic_ncols=True)
    with (
        bar,
        SummaryWriter(str(folder / "tensorboard")) as board,
        open(folder / "metrics.jsonl", "w") as log,
    ):
        for epoch in range(1, recipe.epochs + 1):
            began = time.monotonic()
            rate = schedule.get_last_lr()[0]
            network.train()
            total = torch.zeros(2, device=device)
            for batch in torch.randperm(len(train), generator=generator).split(recipe.batch):
                boxes = random_boxes(
                    len(batch), pictures.shape[2], recipe.crop_min, recipe.flip, generator
                )
                batch = batch.to(device)
                logits = network(resample(pictures[batch], boxes.to(device), recipe.input_size))
                target = classes[batch]
                loss = F.cross_entropy(logits, target, label_smoothing=recipe.label_smoothing)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                if recipe.schedule == "one_cycle":
                    schedule.step()
                right = (logits.detach().argmax(1) == target).sum()
                total += torch.stack([loss.detach() * len(batch), right])
                bar.update(len(batch))
            if recipe.schedule == "step":
                schedule.step()
            trained = Score(*(total / len(train)).tolist())
            if not torch.isfinite(total).all():
                raise Trouble(f"loss is not finite in epoch {epoch}: try a lower --lr")
            checked = score(predict(network, val.pictures, recipe, device), val.classes)
            numbers: dict[str, Any] = {
                "epoch": epoch,
                "data/trainloss": trained.loss,
                "data/trainacc": trained.accuracy,
                "data/valloss": checked.loss,
                "data/valacc": checked.accuracy,
                "lr": rate,
                "seconds": round(time.monotonic() - began, 4),
            }
            for tag in ("data/trainloss", "data/trainacc", "data/valloss", "data/valacc", "lr"):
                board.add_scalar(tag, numbers[tag], epoch)
            log.write(json.dumps(numbers) + "\n")
            log.flush()
            if not best or _rank(numbers) > _rank(best):
                best = numbers
                save("best", network, numbers)
            bar.set_postfix(
                epoch=epoch,
                loss=round(trained.loss, 3),
                val=round(checked.accuracy, 3),
                best=round(best["data/valacc"], 3),
            )
        save("last", network, numbers)
    return best


def _rank(numbers: dict[str, Any]) -> tuple[float, float]:
    return numbers["data/valacc"], -numbers["data/valloss"]


def preprocess(pictures: Tensor, recipe: Recipe) -> Tensor:
    """N×3×S×S uint8 crops as the network sees them in validation and prediction."""
    boxes = centre_boxes(len(pictures), pictures.shape[2], recipe.resize, recipe.input_size)
    return resample(pictures, boxes.to(pictures.device), recipe.input_size)


@torch.inference_mode()
def predict(network: nn.Module, pictures: Tensor, recipe: Recipe, device: torch.device) -> Tensor:
    """N×labels logits (on the CPU) of N×3×S×S uint8 crops, in batches."""
    network.eval()
    parts = [
        network(preprocess(part.to(device), recipe)).float().cpu() for part in pictures.split(512)
    ]
    return torch.cat(parts)


def score(logits: Tensor, classes: Tensor) -> Score:
    """Mean cross entropy and accuracy."""
    loss = F.cross_entropy(logits, classes).item()
    return Score(loss, (logits.argmax(1) == classes).float().mean().item())


def _optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.SGD:
    weights = [one for one in network.parameters() if one.ndim > 1]
    others = [one for one in network.parameters() if one.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": others},
    ]
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)


def _schedule(
    recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if recipe.schedule == "step":
        return torch.optim.lr_scheduler.StepLR(optimizer, recipe.step_epochs, recipe.step_gamma)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=recipe.epochs * steps + 1, cycle_momentum=False
    )
