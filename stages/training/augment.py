"""Crops, turns and colours of whole batches, as tensor work on the device that holds them.

Cutting a box out of a picture and resizing it is linear in rows and in columns. So it is one matrix
for each: rows @ picture @ columnsᵀ. The weights are those of torchvision's antialiased bilinear
resize (a triangle as wide as the reduction), cut off at the box's edge. A GPU does this for the
whole batch; a CPU is faster box by box. Blurs are matrices too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.training.augmentation import Augmentation
from stages.training.recipes import Recipe

NORMALIZATION = {
    "half": ((0.5,), (0.5,)),  # of every colour
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
GREY = (0.299, 0.587, 0.114)  # ITU-R 601, as torchvision's adjustments use


def apply(pictures: Tensor | Sequence[Tensor], change: Augmentation, recipe: Recipe) -> Tensor:
    """N×3×H×W uint8 pictures (or N of 3×H×W) as the network sees them: normalized N×3×S×S float32.

    The result is channels last (a pixel's colours lie together): convolutions are fastest so.
    """
    each_alone = change.top.device.type == "cpu" and not change.whole.any()
    if change.angle.any():
        pictures = rotate(_together(pictures).float(), change.angle).round_().byte()
    if each_alone:
        seen = crop_each(pictures, change, recipe.input_size).float()
    else:
        seen = crop_together(_together(pictures), change, recipe.input_size)
    if change.sigma.any():
        weights = blur_weights(change.sigma, recipe.input_size)[:, None]
        seen = weights @ seen @ weights.mT
    if (change.colour != 1).any():
        seen = recolour(seen.div_(255), change.colour).mul_(255)
    mean, deviation = (
        torch.tensor(values, device=seen.device)[:, None, None]
        for values in NORMALIZATION[recipe.normalization]
    )
    seen = seen.contiguous(memory_format=torch.channels_last)
    seen.mul_(1 / (255 * deviation)).sub_(mean / deviation)
    return erase(seen, change.erased) if change.erased[:, 2].any() else seen


def _together(pictures: Tensor | Sequence[Tensor]) -> Tensor:
    return pictures if isinstance(pictures, Tensor) else torch.stack(list(pictures))


def crop_each(pictures: Iterable[Tensor], change: Augmentation, size: int) -> Tensor:
    """N×3×size×size uint8: each picture's box, some mirrored, one picture after the other.

    On a CPU this is faster than a batch: only the box is read, and torch's resize of uint8 works in
    whole numbers.
    """
    edges = torch.stack([change.top, change.left, change.height, change.width], dim=1)
    boxes, flips = edges.long().tolist(), change.mirrored.tolist()
    seen = []
    for picture, mirrored, (top, left, height, width) in zip(pictures, flips, boxes, strict=True):
        part = picture[None, :, top : top + height, left : left + width]
        small = F.interpolate(part, (size, size), mode="bilinear", antialias=True)
        seen.append(small.flip(3) if mirrored else small)
    return torch.cat(seen)


def crop_together(pictures: Tensor, change: Augmentation, size: int) -> Tensor:
    """N×3×size×size float32, 0 to 255: all boxes at once, some mirrored. Edges may be fractions."""
    count, _, height, width = pictures.shape
    rows = resize_weights(change.top, change.height, height, size, change.whole)
    columns = resize_weights(change.left, change.width, width, size, change.whole)
    side_by_side = pictures.permute(0, 2, 3, 1).float().reshape(count, height, width * 3)
    seen = (rows @ side_by_side).view(count, size, width, 3).transpose(2, 3)
    seen = seen.reshape(count, size * 3, width) @ columns.mT
    seen = seen.view(count, size, 3, size).permute(0, 2, 1, 3)
    return torch.where(change.mirrored[:, None, None, None], seen.flip(3), seen)


def resize_weights(start: Tensor, length: Tensor, pixels: int, size: int, whole: Tensor) -> Tensor:
    """N×size×pixels weights that resize `length` pixels from `start` to `size` pixels.

    With `whole`, pixels beyond that stretch count at its ends.
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
    top, left, height, width = (edge[:, None] for edge in rectangles.unbind(1))
    rows, columns = (at >= top) & (at < top + height), (at >= left) & (at < left + width)
    return pictures.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
