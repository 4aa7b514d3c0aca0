"""A network's logits, nothing random about them: for validation, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.training.augment import apply
from stages.training.augmentation import centre
from stages.training.data import Crops
from stages.training.devices import autocast
from stages.training.distributed import World
from stages.training.recipes import Recipe

KEPT = 64_000_000  # values of prepared pictures held through all epochs, at most
BATCH = 512  # pictures that a network answers at once


def logits_of(network: nn.Module, pictures: Tensor, recipe: Recipe, device: torch.device) -> Tensor:
    """N×labels float32 logits (on the CPU) of N×3×S×S uint8 crops."""
    return _logits(network, _centred(pictures, recipe, device), recipe)


def _centred(pictures: Tensor, recipe: Recipe, device: torch.device) -> Iterator[Tensor]:
    """Batches of crops as the network sees them."""
    middle = centre(pictures.shape[2], recipe).to(device)
    return (apply(part.to(device), middle, recipe) for part in pictures.split(BATCH))


@torch.inference_mode()
def _logits(network: nn.Module, batches: Iterable[Tensor], recipe: Recipe) -> Tensor:
    network.eval()
    parts = []
    for batch in batches:
        with autocast(batch.device):
            logits = network(batch)
            if recipe.flip_test:
                logits = (logits + network(batch.flip(3))) / 2
        parts.append(logits.float().cpu())
    return torch.cat(parts)


class Validation:
    """Judges a network on pictures that it is not trained on."""

    def __init__(self, val: Crops, recipe: Recipe, device: torch.device, world: World) -> None:
        """Prepares this process's part of `val`; only once where that is not too much to keep."""
        mine = world.part(len(val))
        self._count, self._classes = len(val), val.classes[mine]
        self._recipe, self._device, self._world = recipe, device, world
        self._pictures = val.pictures[mine]
        few = len(self._classes) * 3 * recipe.input_size**2 <= KEPT
        self._kept = list(self._batches()) if few else []

    def _batches(self) -> Iterable[Tensor]:
        return _centred(self._pictures, self._recipe, self._device)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Mean loss and accuracy over all of `val`."""
        total = torch.zeros(2, dtype=torch.float64, device=self._device)
        if len(self._classes):
            logits = _logits(network, self._kept or self._batches(), self._recipe)
            loss = F.cross_entropy(logits, self._classes, reduction="sum").double()
            right = (logits.argmax(1) == self._classes).sum().double()
            total += torch.stack([loss, right]).to(self._device)
        loss, accuracy = (self._world.sum(total) / self._count).tolist()
        return {"data/valloss": loss, "data/valacc": accuracy}
