"""Which pictures a step sees, and how they come to the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.training.data import Crops
from stages.training.recipes import Recipe


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

    def take(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures and classes of some places, on the device."""
        classes = self.classes[places].to(self.device, non_blocking=True)
        if self.pictures.device == self.device:
            return self.pictures.index_select(0, places.to(self.device)), classes
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


def source(crops: Crops, labels: int, device: torch.device) -> Source:
    """The crops, on a GPU where they take at most half of its free memory."""
    counts = torch.bincount(crops.classes, minlength=labels).clamp(min=1)
    weights = len(crops) / (labels * counts.float())
    pictures = crops.pictures
    if device.type == "cuda" and pictures.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        pictures = pictures.to(device)
    return Source(pictures, crops.classes, weights, device)
