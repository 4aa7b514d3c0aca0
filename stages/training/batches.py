"""Which pictures a step sees, and how they come to the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from stages.training.augment import apply
from stages.training.augmentation import draw
from stages.training.data import Crops
from stages.training.distributed import World
from stages.training.recipes import Recipe

PICTURES, VALUES = 256, 4_000_000  # prepared at once, at most


class Batch(NamedTuple):
    """What a process has of a batch: N×3×S×S float32 pictures, and what the answers should be.

    `whole` counts the pictures of the batch over all processes.
    """

    pictures: Tensor
    target: Tensor
    whole: int


def label_weights(counts: Tensor) -> Tensor:
    """One a label, inverse to its count of pictures; 1 on average over the pictures."""
    present = counts.clamp(min=1).float()
    return counts.sum() / (len(counts) * present)


@dataclass(frozen=True)
class BatchSource:
    """Crops to draw batches from: on the device where they fit, else in (mapped) memory."""

    pictures: Tensor
    classes: Tensor
    label_weights: Tensor
    """See `label_weights`."""
    device: torch.device

    @classmethod
    def of(cls, crops: Crops, labels: int, device: torch.device) -> BatchSource:
        """Crops go to a GPU where they take at most half of its free memory."""
        weights = label_weights(torch.bincount(crops.classes, minlength=labels))
        pictures = crops.pictures
        if device.type == "cuda" and pictures.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
            pictures = pictures.to(device)
        return cls(pictures, crops.classes, weights, device)

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, places: Tensor) -> tuple[Tensor | Sequence[Tensor], Tensor]:
        """Pictures and classes of some places, on the device. On a CPU nothing is copied."""
        classes = self.classes[places].to(self.device, non_blocking=True)
        if self.device.type == "cpu":
            return [self.pictures[place] for place in places.tolist()], classes
        if self.pictures.device == self.device:
            return self.pictures[places.to(self.device)], classes
        return self.pictures[places].pin_memory().to(self.device, non_blocking=True), classes

    def order(self, recipe: Recipe, rng: torch.Generator) -> list[Tensor]:
        """The places of an epoch's pictures, batch by batch."""
        count = len(self)
        if recipe.balance == "sampler":
            shares = self.label_weights[self.classes]
            places = torch.multinomial(shares, count, True, generator=rng)
        else:
            places = torch.randperm(count, generator=rng)
        batches = list(torch.split(places, recipe.batch))
        if len(batches) > 1 and len(batches[-1]) == 1:  # batch norm cannot learn from one picture
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches


@dataclass(frozen=True)
class Prefetch:
    """Prepares batches for the network; several small ones at once.

    No thread does it: on a CPU a thread would take cores from the network, and a GPU works on while
    the next batches are prepared.
    """

    source: BatchSource
    recipe: Recipe
    rng: torch.Generator
    world: World

    def epoch(self) -> tuple[int, Iterator[Batch]]:
        """How many batches an epoch has, and the batches."""
        batches = self.source.order(self.recipe, self.rng)
        parts = zip(self(batches), batches, strict=True)
        return len(batches), (Batch(*part, len(batch)) for part, batch in parts)

    def __call__(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each batch this process's part: N×3×S×S float32 for the network, and N classes."""
        fitting = min(PICTURES, VALUES // (3 * self.recipe.input_size**2))
        together = max(1, fitting // self.recipe.batch)
        for start in range(0, len(batches), together):
            yield from self._prepare(batches[start : start + together])

    def _prepare(self, batches: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        places = torch.cat(list(batches))
        augmentation = draw(len(places), self.source.pictures.shape[2], self.recipe, self.rng)
        parts = torch.arange(len(places)).split([len(batch) for batch in batches])
        mine = [part[self.world.part(len(part))] for part in parts]
        here = torch.cat(mine)
        pictures, classes = self.source.take(places[here])
        seen = apply(pictures, augmentation[here].to(self.source.device), self.recipe)
        sizes = [len(part) for part in mine]
        return list(zip(seen.split(sizes), classes.split(sizes), strict=True))
