"""Random and fixed crops of whole batches, as matrix products on the device that holds them.

Cutting a box out of a picture and resizing it is linear in rows and in columns: one matrix for
each, rows @ picture @ columnsᵀ. The weights are those of torchvision's antialiased bilinear
resize (a triangle as wide as the reduction), cut off at the box's edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

MEAN = STD = 0.5  # pictures are scaled to [−1, 1]


@dataclass(frozen=True)
class Boxes:
    """What to look at in each of N pictures, in pixels (float tensors of N), and its mirroring."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    mirrored: Tensor

    def to(self, device: torch.device) -> Boxes:
        return Boxes(*(getattr(self, one.name).to(device) for one in fields(self)))


def resample(pictures: Tensor, boxes: Boxes, size: int) -> Tensor:
    """Boxes of N×3×H×W uint8 pictures, resized: N×3×size×size float32 in [−1, 1]."""
    rows = _weights(boxes.top, boxes.height, pictures.shape[2], size)
    columns = _weights(boxes.left, boxes.width, pictures.shape[3], size)
    columns = torch.where(boxes.mirrored[:, None, None], columns.flip(1), columns)
    seen = rows[:, None] @ pictures.float() @ columns[:, None].mT
    return (seen / 255 - MEAN) / STD


def _weights(start: Tensor, length: Tensor, pixels: int, size: int) -> Tensor:
    """N×size×pixels weights that resize `length` pixels from `start` to `size`."""
    ratio = length / size
    steps = torch.arange(size, device=start.device, dtype=torch.float32)
    centre = start[:, None] + (steps + 0.5) * ratio[:, None]
    reach = ratio.clamp(min=1.0)[:, None, None]
    at = torch.arange(pixels, device=start.device, dtype=torch.float32)
    weights = (1 - ((at + 0.5 - centre[..., None]) / reach).abs()).clamp(min=0)
    inside = (at >= start[:, None]) & (at < (start + length)[:, None])
    weights = weights * inside[:, None, :]
    return weights / weights.sum(dim=2, keepdim=True)


def random_boxes(
    count: int, side: int, crop_min: float, flip: float, generator: torch.Generator
) -> Boxes:
    """Boxes as torchvision's RandomResizedCrop draws them: share of the area from `crop_min` to 1,
    aspect from 3/4 to 4/3 evenly on a log scale, ten tries, else the whole; whole pixels.
    """
    tries = (count, 10)
    area = side * side * torch.empty(tries).uniform_(crop_min, 1, generator=generator)
    aspect = (
        torch.empty(tries).uniform_(math.log(3 / 4), math.log(4 / 3), generator=generator).exp()
    )
    width, height = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (width <= side) & (height <= side) & (width > 0) & (height > 0)
    first = fits.float().argmax(dim=1, keepdim=True)
    lucky = fits.any(dim=1)
    width = torch.where(lucky, width.gather(1, first)[:, 0], side)
    height = torch.where(lucky, height.gather(1, first)[:, 0], side)
    top = (torch.rand(count, generator=generator) * (side - height + 1)).floor()
    left = (torch.rand(count, generator=generator) * (side - width + 1)).floor()
    return Boxes(top, left, height, width, torch.rand(count, generator=generator) < flip)


def centre_boxes(count: int, side: int, resize: int, size: int) -> Boxes:
    """The same box for each picture: what Resize(resize), then CenterCrop(size) would show."""
    shown = side * min(1.0, size / resize)
    start = torch.full((count,), (side - shown) / 2)
    length = torch.full((count,), shown)
    return Boxes(start, start, length, length, torch.zeros(count, dtype=torch.bool))
