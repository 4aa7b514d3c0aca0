"""Crops, turns and colours of whole batches, as tensor work on the device that holds them.

Cutting a box out of a picture and resizing it is linear in rows and in columns: one matrix for
each, rows @ picture @ columnsᵀ. The weights are those of torchvision's antialiased bilinear
resize (a triangle as wide as the reduction), cut off at the box's edge. A GPU does that for the
whole batch; a CPU is faster box by box. Blurs are matrices too.

What is random is drawn for the whole batch on the CPU, so that the same seed gives the same
pictures, to a level of rounding, on any device and on any number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.training.recipes import Recipe

NORMALIZATION = {
    "half": ((0.5,), (0.5,)),  # of every colour
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
GREY = (0.299, 0.587, 0.114)  # ITU-R 601, as torchvision's adjustments use


@dataclass(frozen=True)
class Draw:
    """What is done to each of N pictures: float tensors of N (or of one for all), boxes in pixels
    of the picture.

    `angle` in radians (0: not turned); `colour` N×3 factors of brightness, contrast, saturation;
    `sigma` of the blur in pixels of the result; `erased` N×4 as top, left, height, width there.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    mirrored: Tensor
    angle: Tensor
    colour: Tensor
    sigma: Tensor
    erased: Tensor
    whole: Tensor
    """Whether pixels beyond the box count for its edge, as when a resized picture is cut."""

    def __getitem__(self, part: slice | Tensor) -> Draw:
        return Draw(*(getattr(self, one.name)[part] for one in fields(self)))

    def to(self, device: torch.device) -> Draw:
        values = (getattr(self, one.name) for one in fields(self))
        return Draw(*(value.to(device, non_blocking=True) for value in values))


def draw(count: int, side: int, recipe: Recipe, generator: torch.Generator) -> Draw:
    """Random boxes, turns and colours for N pictures of side×side, as the recipe asks."""

    def even(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(count, *shape).uniform_(low, high, generator=generator)

    top, left, height, width = random_boxes(count, side, recipe.crop_min, generator)
    turn = math.radians(recipe.rotate)
    erased = _random_rectangles(count, recipe, generator)
    return Draw(
        top,
        left,
        height,
        width,
        mirrored=even(0, 1) < recipe.flip,
        angle=even(-turn, turn),
        colour=even(1 - recipe.colour, 1 + recipe.colour, 3),
        sigma=even(0, recipe.blur),
        erased=erased,
        whole=torch.zeros(count, dtype=torch.bool),
    )


def centre(side: int, recipe: Recipe) -> Draw:
    """One for all pictures: what Resize(resize), then CenterCrop(input_size) would show."""
    scale = side / recipe.resize
    start = torch.tensor([round((recipe.resize - recipe.input_size) / 2) * scale])
    length = torch.tensor([recipe.input_size * scale])
    none = torch.zeros(1)
    return Draw(
        start,
        start,
        length,
        length,
        mirrored=none.bool(),
        angle=none,
        colour=torch.ones(1, 3),
        sigma=none,
        erased=torch.zeros(1, 4),
        whole=torch.ones(1, dtype=torch.bool),
    )


def random_boxes(
    count: int, side: int, crop_min: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height, width as torchvision's RandomResizedCrop draws them: share of the area
    from `crop_min` to 1, aspect from 3/4 to 4/3 evenly on a log scale, ten tries, else the whole.
    """
    tries = (count, 10)
    area = side * side * torch.empty(tries).uniform_(crop_min, 1, generator=generator)
    edge = math.log(4 / 3)
    aspect = torch.empty(tries).uniform_(-edge, edge, generator=generator).exp()
    width, height = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (width <= side) & (height <= side) & (width > 0) & (height > 0)
    first, lucky = fits.float().argmax(dim=1, keepdim=True), fits.any(dim=1)
    width = torch.where(lucky, width.gather(1, first)[:, 0], side)
    height = torch.where(lucky, height.gather(1, first)[:, 0], side)
    top = (torch.rand(count, generator=generator) * (side - height + 1)).floor()
    left = (torch.rand(count, generator=generator) * (side - width + 1)).floor()
    return top, left, height, width


def _random_rectangles(count: int, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """N×4 rectangles as torchvision's RandomErasing draws them (2% to 33% of the area, aspect 0.3
    to 3.3); of height 0 where nothing is erased.
    """
    side = recipe.input_size
    tall = torch.empty(count).uniform_(0.02, 0.33, generator=generator) * side * side
    edge = math.log(3.3)
    aspect = torch.empty(count).uniform_(-edge, edge, generator=generator).exp()
    height = (tall * aspect).sqrt().round().clamp(max=side - 1)
    width = (tall / aspect).sqrt().round().clamp(max=side - 1)
    top = (torch.rand(count, generator=generator) * (side - height + 1)).floor()
    left = (torch.rand(count, generator=generator) * (side - width + 1)).floor()
    chosen = torch.rand(count, generator=generator) < recipe.erase
    return torch.stack([top, left, height * chosen, width], dim=1)


def apply(pictures: Tensor | Sequence[Tensor], what: Draw, recipe: Recipe) -> Tensor:
    """N×3×H×W uint8 pictures (or N of 3×H×W) as the network sees them: N×3×S×S float32,
    normalized, the colours of a pixel side by side in memory (channels last), which convolutions
    are fastest with.
    """
    one_by_one = what.top.device.type == "cpu" and not what.whole.any()
    if what.angle.any():
        pictures = rotate(_together(pictures).float(), what.angle).round_().byte()
    if one_by_one:
        seen = cut(pictures, what, recipe.input_size).float()
    else:
        seen = resized(_together(pictures), what, recipe.input_size)
    if what.sigma.any():
        weights = blur_weights(what.sigma, recipe.input_size)[:, None]
        seen = weights @ seen @ weights.mT
    if (what.colour != 1).any():
        seen = recolour(seen.div_(255), what.colour).mul_(255)
    mean, deviation = (
        torch.tensor(values, device=seen.device)[:, None, None]
        for values in NORMALIZATION[recipe.normalization]
    )
    seen = seen.contiguous(memory_format=torch.channels_last)
    seen.mul_(1 / (255 * deviation)).sub_(mean / deviation)
    return erase(seen, what.erased) if what.erased[:, 2].any() else seen


def _together(pictures: Tensor | Sequence[Tensor]) -> Tensor:
    return pictures if isinstance(pictures, Tensor) else torch.stack(list(pictures))


def cut(pictures: Iterable[Tensor], what: Draw, size: int) -> Tensor:
    """The boxes at size×size, some mirrored, uint8, picture by picture: on a CPU, reading no more
    than a box and torch's whole-number arithmetic save more than a batch would.
    """
    boxes = torch.stack([what.top, what.left, what.height, what.width], dim=1).long().tolist()
    seen = []
    for picture, mirrored, box in zip(pictures, what.mirrored.tolist(), boxes, strict=True):
        top, left, height, width = box
        part = picture[None, :, top : top + height, left : left + width]
        small = F.interpolate(part, (size, size), mode="bilinear", antialias=True)
        seen.append(small.flip(3) if mirrored else small)
    return torch.cat(seen)


def resized(pictures: Tensor, what: Draw, size: int) -> Tensor:
    """The boxes at size×size, some mirrored, as floats from 0 to 255, all at once; boxes may have
    fractions.
    """
    count, _, height, width = pictures.shape
    rows = resize_weights(what.top, what.height, height, size, what.whole)
    columns = resize_weights(what.left, what.width, width, size, what.whole)
    side_by_side = pictures.permute(0, 2, 3, 1).float().reshape(count, height, width * 3)
    seen = (rows @ side_by_side).view(count, size, width, 3).transpose(2, 3)
    seen = seen.reshape(count, size * 3, width) @ columns.mT
    seen = seen.view(count, size, 3, size).permute(0, 2, 1, 3)
    return torch.where(what.mirrored[:, None, None, None], seen.flip(3), seen)


def resize_weights(start: Tensor, length: Tensor, pixels: int, size: int, whole: Tensor) -> Tensor:
    """N×size×pixels weights that resize `length` pixels from `start` to `size`; with `whole`,
    pixels beyond that stretch count for its ends.
    """
    ratio = length / size
    steps = torch.arange(size, device=start.device, dtype=torch.float32)
    middle = start[:, None] + (steps + 0.5) * ratio[:, None]
    reach = ratio.clamp(min=1.0)[:, None, None]
    at = torch.arange(pixels, device=start.device, dtype=torch.float32) + 0.5
    weights = (1 - (at - middle[..., None]).div_(reach).abs_()).clamp_(min=0)
    inside = (at > start[:, None]) & (at < (start + length)[:, None]) | whole[:, None]
    weights.mul_(inside[:, None, :])
    return weights.div_(weights.sum(dim=2, keepdim=True))


def blur_weights(sigma: Tensor, size: int) -> Tensor:
    """N×size×size weights of a Gaussian blur along one axis."""
    at = torch.arange(size, device=sigma.device, dtype=torch.float32)
    away = (at[:, None] - at[None, :]).square()
    weights = torch.exp(-away / (2 * sigma.clamp(min=1e-3).square())[:, None, None])
    return weights / weights.sum(dim=2, keepdim=True)


def rotate(pictures: Tensor, angle: Tensor) -> Tensor:
    """Turned counter-clockwise about the middle, bilinear, black beyond the edge."""
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    turn = torch.stack([cos, -sin, none, sin, cos, none], dim=1).reshape(-1, 2, 3)
    grid = F.affine_grid(turn, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False)


def recolour(pictures: Tensor, factors: Tensor) -> Tensor:
    """Brightness, contrast and saturation times N×3 factors, in this order (as torchvision's)."""
    bright, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    weights = torch.tensor(GREY, device=pictures.device)[:, None, None]
    seen = (pictures * bright).clamp(0, 1)
    mean = (seen * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    seen = (mean + (seen - mean) * contrast).clamp(0, 1)
    grey = (seen * weights).sum(1, keepdim=True)
    return (grey + (seen - grey) * saturation).clamp(0, 1)


def erase(pictures: Tensor, rectangles: Tensor) -> Tensor:
    """Pictures with N×4 rectangles (top, left, height, width) set to 0, the mean colour."""
    at = torch.arange(pictures.shape[2], device=pictures.device)
    top, left, height, width = (one[:, None] for one in rectangles.unbind(1))
    rows, columns = (at >= top) & (at < top + height), (at >= left) & (at < left + width)
    return pictures.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
