"""Which pictures a step sees, and how they come to the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.training.augment import apply, draw
from stages.training.data import Crops
from stages.training.distributed import World
from stages.training.recipes import Recipe

PICTURES, VALUES = 256, 4_000_000  # made ready at once, at most


@dataclass(frozen=True)
class Source:
    """Crops to draw batches from: on the device where they fit, else in (mapped) memory."""

    pictures: Tensor
    classes: Tensor
    label_weights: Tensor
    """One a label, inverse to its size, 1 on average over the pictures."""
    device: torch.device

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, places: Tensor) -> tuple[Tensor | Sequence[Tensor], Tensor]:
        """Pictures and classes of some places, on the device; on a CPU nothing is copied."""
        classes = self.classes[places].to(self.device, non_blocking=True)
        if self.device.type == "cpu":
            return [self.pictures[place] for place in places.tolist()], classes
        if self.pictures.device == self.device:
            return self.pictures[places.to(self.device)], classes
        return self.pictures[places].pin_memory().to(self.device, non_blocking=True), classes

    def order(self, recipe: Recipe, generator: torch.Generator) -> list[Tensor]:
        """The places of an epoch's pictures, batch by batch."""
        count = len(self)
        if recipe.balance == "sampler":
            shares = self.label_weights[self.classes]
            drawn = torch.multinomial(shares, count, True, generator=generator)
        else:
            drawn = torch.randperm(count, generator=generator)
        batches = list(torch.split(drawn, recipe.batch))
        if len(batches) > 1 and len(batches[-1]) == 1:  # batch norm cannot learn from one picture
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches


def prepared(
    crops: Source,
    batches: Sequence[Tensor],
    recipe: Recipe,
    generator: torch.Generator,
    world: World,
) -> Iterator[tuple[Tensor, Tensor]]:
    """What the network sees of each batch, this process's part of it, and its classes.

    Several small batches are made ready at once. A thread for it would fight the network's own
    over the cores of a CPU; a GPU works on while the next ones are made ready.
    """
    together = max(1, min(PICTURES, VALUES // (3 * recipe.input_size**2)) // recipe.batch)
    for at in range(0, len(batches), together):
        yield from _prepare(crops, batches[at : at + together], recipe, generator, world)


def _prepare(
    crops: Source,
    batches: Sequence[Tensor],
    recipe: Recipe,
    generator: torch.Generator,
    world: World,
) -> list[tuple[Tensor, Tensor]]:
    """Draw and do what is random to the pictures of some batches."""
    places = torch.cat(list(batches))
    what = draw(len(places), crops.pictures.shape[2], recipe, generator)
    parts = torch.arange(len(places)).split([len(batch) for batch in batches])
    mine = [part[world.part(len(part))] for part in parts]
    here = torch.cat(mine)
    pictures, classes = crops.take(places[here])
    seen = apply(pictures, what[here].to(crops.device), recipe)
    sizes = [len(part) for part in mine]
    return list(zip(seen.split(sizes), classes.split(sizes), strict=True))


def source(crops: Crops, labels: int, device: torch.device) -> Source:
    """The crops, on a GPU where they take at most half of its free memory."""
    counts = torch.bincount(crops.classes, minlength=labels).clamp(min=1)
    weights = len(crops) / (labels * counts.float())
    pictures = crops.pictures
    if device.type == "cuda" and pictures.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        pictures = pictures.to(device)
    return Source(pictures, crops.classes, weights, device)
