"""OpenCV's resize of square uint8 pictures as matrix work, which torch can export for any size.

Prediction brings a crop to the training crops' side by `stages.face.crop.square`: INTER_AREA where
it gets smaller, else INTER_CUBIC. Rows and columns are weighted alike, so one matrix does both.
"""

from __future__ import annotations

import torch
from torch import Tensor

CUBIC = -0.75  # the coefficient of OpenCV's cubic kernel


def resized(pictures: Tensor, side: int) -> Tensor:
    """N×3×side×side float32 whole numbers, 0 to 255, of N×3×S×S uint8, as OpenCV resizes them."""
    pixels = torch.arange(pictures.shape[3], dtype=torch.float64)
    count = pixels[-1:] + 1
    weights = torch.where(count > side, _area(pixels, side), _cubic(pixels, side)).float()
    seen = weights @ pictures.float() @ weights.T
    # Halves become even numbers; but where two pixels become one, OpenCV rounds them up.
    rounded = torch.where(count == 2 * side, torch.floor(seen + 0.5), torch.round(seen))
    return rounded.clamp(0, 255)


def _area(pixels: Tensor, side: int) -> Tensor:
    """side×S weights: the share of each pixel in the stretch that becomes one."""
    ratio = (pixels[-1:] + 1) / side
    start = (torch.arange(side, dtype=torch.float64) * ratio)[:, None]
    overlap = torch.minimum(start + ratio, pixels + 1) - torch.maximum(start, pixels)
    return overlap.clamp(min=0) / ratio


def _cubic(pixels: Tensor, side: int) -> Tensor:
    """side×S weights of the four pixels around each place; the outermost pixels are repeated."""
    middle = (torch.arange(side, dtype=torch.float64) + 0.5) * (pixels[-1:] + 1) / side - 0.5
    before = middle.floor()
    weights = torch.zeros(side, 1, dtype=torch.float64)
    for step in (-1, 0, 1, 2):
        away = (middle - before - step).abs()
        near = ((CUBIC + 2) * away - (CUBIC + 3)) * away * away + 1
        far = ((CUBIC * away - 5 * CUBIC) * away + 8 * CUBIC) * away - 4 * CUBIC
        weight = torch.where(away <= 1, near, far)
        neighbour = torch.minimum((before + step).clamp(min=0), pixels[-1:])
        weights = weights + weight[:, None] * (neighbour[:, None] == pixels)
    return weights
