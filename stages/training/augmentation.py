"""What is done to each training picture, drawn at random for a whole batch.

Everything random is drawn on the CPU for the whole batch. So the same seed gives the same pictures,
to a level of rounding, on any device and with any number of processes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from stages.training.recipes import Recipe

ERASED_AREA, ERASED_ASPECT = (0.02, 0.33), 3.3  # as torchvision's RandomErasing
CROP_ASPECT, TRIES = 4 / 3, 10  # as torchvision's RandomResizedCrop


@dataclass(frozen=True)
class Augmentation:
    """What is done to each of N pictures. Float tensors of length N, or of length 1 for all."""

    top: Tensor
    """Of the box that is cut out: pixels of the picture, like `left`, `height` and `width`."""
    left: Tensor
    height: Tensor
    width: Tensor
    mirrored: Tensor
    """Bool."""
    angle: Tensor
    """Radians, counter-clockwise; 0 leaves the picture as it is."""
    colour: Tensor
    """N×3 factors of brightness, contrast and saturation."""
    sigma: Tensor
    """Of the blur, in pixels of the result."""
    erased: Tensor
    """N×4: top, left, height and width of a blank rectangle, in pixels of the result."""
    whole: Tensor
    """Bool: pixels beyond the box count at its edge, as when a resized picture is cropped."""

    def __getitem__(self, part: slice | Tensor) -> Augmentation:
        return Augmentation(*(getattr(self, field.name)[part] for field in fields(self)))

    def to(self, device: torch.device) -> Augmentation:
        values = (getattr(self, field.name) for field in fields(self))
        return Augmentation(*(value.to(device, non_blocking=True) for value in values))


def draw(count: int, side: int, recipe: Recipe, rng: torch.Generator) -> Augmentation:
    """Random boxes, turns and colours for N pictures of side×side pixels."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(count, *shape).uniform_(low, high, generator=rng)

    top, left, height, width = random_boxes(count, side, recipe.crop_min, rng)
    turn = math.radians(recipe.rotate)
    erased = _random_rectangles(count, recipe, rng)
    return Augmentation(
        top,
        left,
        height,
        width,
        mirrored=uniform(0, 1) < recipe.flip,
        angle=uniform(-turn, turn),
        colour=uniform(1 - recipe.colour, 1 + recipe.colour, 3),
        sigma=uniform(0, recipe.blur),
        erased=erased,
        whole=torch.zeros(count, dtype=torch.bool),
    )


def centre(side: int, recipe: Recipe) -> Augmentation:
    """One for all pictures: what Resize(resize), then CenterCrop(input_size) shows."""
    scale = side / recipe.resize
    start = torch.tensor([round((recipe.resize - recipe.input_size) / 2) * scale])
    length = torch.tensor([recipe.input_size * scale])
    none = torch.zeros(1)
    return Augmentation(
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
    count: int, side: int, crop_min: float, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width as torchvision's RandomResizedCrop draws them.

    The area's share is `crop_min` to 1, the aspect 3/4 to 4/3 evenly on a log scale. A box that
    does not fit in ten tries becomes the whole picture.
    """
    shape = (count, TRIES)
    area = side * side * torch.empty(shape).uniform_(crop_min, 1, generator=rng)
    edge = math.log(CROP_ASPECT)
    aspect = torch.empty(shape).uniform_(-edge, edge, generator=rng).exp()
    width, height = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (width <= side) & (height <= side) & (width > 0) & (height > 0)
    first, any_fits = fits.float().argmax(dim=1, keepdim=True), fits.any(dim=1)
    width = torch.where(any_fits, width.gather(1, first)[:, 0], side)
    height = torch.where(any_fits, height.gather(1, first)[:, 0], side)
    return *_corners(side, height, width, rng), height, width


def _random_rectangles(count: int, recipe: Recipe, rng: torch.Generator) -> Tensor:
    """N×4 rectangles as torchvision's RandomErasing draws them; height 0 where nothing is erased.

    The area's share is 2% to 33%, the aspect 0.3 to 3.3.
    """
    side = recipe.input_size
    area = torch.empty(count).uniform_(*ERASED_AREA, generator=rng) * side * side
    edge = math.log(ERASED_ASPECT)
    aspect = torch.empty(count).uniform_(-edge, edge, generator=rng).exp()
    height = (area * aspect).sqrt().round().clamp(max=side - 1)
    width = (area / aspect).sqrt().round().clamp(max=side - 1)
    top, left = _corners(side, height, width, rng)
    chosen = torch.rand(count, generator=rng) < recipe.erase
    return torch.stack([top, left, height * chosen, width], dim=1)


def _corners(
    side: int, height: Tensor, width: Tensor, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random top and left of boxes inside side×side."""
    top = (torch.rand(len(height), generator=rng) * (side - height + 1)).floor()
    left = (torch.rand(len(width), generator=rng) * (side - width + 1)).floor()
    return top, left
