"""Augmentation of batches shows what torchvision's transforms show, picture by picture."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Literal

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomErasing, RandomResizedCrop
from torchvision.transforms.v2 import functional as reference

from stages.training.augment import (
    apply,
    crop_each,
    crop_together,
    erase,
    recolour,
    resize_weights,
    rotate,
)
from stages.training.augmentation import Augmentation, centre, draw, random_boxes
from stages.training.recipes import Recipe

LEVEL = 1 / 255

NO = torch.tensor([False])


def pictures(count: int, side: int, seed: int = 0) -> Tensor:
    """Noise, the hardest thing to resize."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def shown(seen: Tensor) -> Tensor:
    """Normalized pictures back in 0 to 1."""
    return seen * 0.5 + 0.5


def farthest(one: Tensor, other: Tensor) -> float:
    assert one.shape == other.shape
    return (one - other).abs().max().item()


def some_boxes(side: int, size: int) -> Augmentation:
    """Of twelve pictures; every other one is mirrored."""
    boxes = random_boxes(12, side, 0.08, torch.Generator().manual_seed(3))
    top, left, height, width = boxes
    return replace(
        centre(side, Recipe(input_size=size, resize=size)),
        top=top,
        left=left,
        height=height,
        width=width,
        mirrored=torch.arange(12) % 2 == 1,
        whole=torch.zeros(12, dtype=torch.bool),
    )


def torchvisions(pictures: Tensor, augmentation: Augmentation, size: int) -> list[Tensor]:
    boxes = (
        torch.stack(
            [augmentation.top, augmentation.left, augmentation.height, augmentation.width], dim=1
        )
        .int()
        .tolist()
    )
    crops = [
        reference.resized_crop(picture, *box, [size, size], antialias=True)
        for picture, box in zip(pictures, boxes, strict=True)
    ]
    return [
        reference.horizontal_flip(crop) if mirrored else crop
        for crop, mirrored in zip(crops, augmentation.mirrored, strict=True)
    ]


# torch's plain kernels and torchvision's round a value here and there to different sides.
ROUNDING = int(torch.backends.cpu.get_cpu_capability() == "DEFAULT")  # levels of 255
SIZES = [(40, 48), (64, 24), (128, 48), (33, 33)]


@pytest.mark.parametrize(("side", "size"), SIZES)
def test_a_random_crop_is_that_of_torchvision_to_the_byte(side: int, size: int) -> None:
    given, augmentation = pictures(12, side), some_boxes(side, size)
    seen = shown(apply(given, augmentation, Recipe(input_size=size, resize=size)))
    for place, expected in enumerate(torchvisions(given, augmentation, size)):
        levels = (seen[place] * 255).round().byte()
        assert (levels.int() - expected.int()).abs().max() <= ROUNDING


@pytest.mark.parametrize(("side", "size"), SIZES)
def test_a_batch_of_crops_by_matrices_is_that_of_torchvision(side: int, size: int) -> None:
    given, augmentation = pictures(12, side), some_boxes(side, size)
    expected = torch.stack(torchvisions(given.float(), augmentation, size))
    assert farthest(crop_together(given, augmentation, size), expected) < 0.01
    assert (
        farthest(crop_each(given, augmentation, size).float(), expected) < 1.01
    )  # of 255 levels: rounded


@pytest.mark.parametrize("normalization", ["half", "imagenet"])
def test_colours_are_normalized_as_torchvision_does(
    normalization: Literal["half", "imagenet"],
) -> None:
    recipe = Recipe(input_size=32, resize=32, normalization=normalization)
    values = {"half": ([0.5] * 3, [0.5] * 3)}.get(
        normalization, ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    given = pictures(2, 32)
    expected = reference.normalize(given.float() / 255, *values)
    assert farthest(apply(given, centre(32, recipe), recipe), expected) < 1e-5


@pytest.mark.parametrize(
    ("side", "resize", "size"),
    [(128, 64, 48), (60, 64, 48), (96, 256, 224), (48, 48, 48), (128, 255, 224), (90, 64, 64)],
)
def test_validation_sees_what_resize_and_centre_crop_show(
    side: int, resize: int, size: int
) -> None:
    given, recipe = pictures(2, side), Recipe(input_size=size, resize=resize)
    whole = reference.resize(given.float() / 255, [resize], antialias=True)
    expected = reference.center_crop(whole, [size, size])
    seen = shown(apply(given, centre(side, recipe), recipe))
    inside = (..., slice(3, -3), slice(3, -3))
    assert farthest(seen[inside], expected[inside]) < LEVEL
    assert farthest(seen, expected) < LEVEL


def test_weights_sum_to_one_and_take_nothing_from_beyond_the_box() -> None:
    weights = resize_weights(torch.tensor([3.0, 0.0]), torch.tensor([20.0, 32.0]), 32, 8, NO)
    assert weights.shape == (2, 8, 32)
    assert farthest(weights.sum(2), torch.ones(2, 8)) < 1e-6
    assert weights[0, :, :3].abs().max() == weights[0, :, 23:].abs().max() == 0


def test_a_box_of_the_size_asked_for_is_taken_pixel_by_pixel() -> None:
    weights = resize_weights(torch.tensor([5.0]), torch.tensor([16.0]), 32, 16, NO)
    assert torch.equal(weights[0], torch.eye(32)[5:21])


@pytest.mark.parametrize("crop_min", [0.08, 0.5])
def test_boxes_are_drawn_as_torchvision_draws_them(crop_min: float) -> None:
    count, side = 6000, 64
    torch.manual_seed(5)
    blank = torch.empty(3, side, side)
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(blank, [crop_min, 1.0], [3 / 4, 4 / 3]) for _ in range(count)]
    ).float()
    ours = torch.stack(random_boxes(count, side, crop_min, torch.Generator().manual_seed(6)), 1)

    def measured(boxes: Tensor) -> dict[str, Tensor]:
        top, left, height, width = boxes.unbind(1)
        free = (side - height).clamp(min=1), (side - width).clamp(min=1)
        return {
            "area": height * width / side**2,
            "aspect": (width / height).log(),
            "top": top / free[0],
            "left": left / free[1],
        }

    one, other = measured(ours), measured(theirs)
    for name in one:  # five standard errors of a difference of two such means
        error = 5 * float(other[name].std()) * math.sqrt(2 / count)
        assert abs(float(one[name].mean() - other[name].mean())) < error, name
        assert abs(float(one[name].std() - other[name].std())) < error, name
    assert one["area"].min() >= crop_min * 0.97 and one["area"].max() <= 1
    assert (ours[:, 0] + ours[:, 2]).max() <= side and (ours[:, 1] + ours[:, 3]).max() <= side


def test_a_box_that_cannot_fit_becomes_the_whole_picture() -> None:
    boxes = random_boxes(500, 4096, 1.0, torch.Generator().manual_seed(0))
    expected = [torch.full((500,), value) for value in (0.0, 0.0, 4096.0, 4096.0)]
    assert all(torch.equal(one, other) for one, other in zip(boxes, expected, strict=True))


@pytest.mark.parametrize("degrees", [-30.0, -7.5, 10.0, 45.0, 90.0])
def test_rotation_turns_the_way_torchvision_turns(degrees: float) -> None:
    given = pictures(2, 33).float() / 255
    expected = reference.rotate(given, degrees, InterpolationMode.BILINEAR)
    turned = rotate(given, torch.full((2,), math.radians(degrees)))
    assert farthest(turned, expected) < LEVEL


def test_each_picture_is_turned_by_its_own_angle() -> None:
    given = pictures(2, 32).float() / 255
    turned = rotate(given, torch.tensor([0.0, math.pi / 2]))
    assert farthest(turned[0], given[0]) < 1e-4
    assert farthest(turned[1], given[1].rot90(1, (1, 2))) < 1e-4


def test_colours_change_as_torchvisions_adjustments_in_this_order() -> None:
    given = pictures(3, 24).float() / 255
    factors = torch.tensor([[1.2, 0.8, 1.2], [0.6, 1.4, 0.0], [1.0, 1.0, 1.0]])
    seen = recolour(given, factors)
    for place, (bright, contrast, saturation) in enumerate(factors.tolist()):
        expected = reference.adjust_brightness(given[place], bright)
        expected = reference.adjust_contrast(expected, contrast)
        expected = reference.adjust_saturation(expected, saturation)
        assert farthest(seen[place], expected) < LEVEL


def test_only_the_rectangle_is_erased() -> None:
    given = torch.rand(2, 3, 16, 16) + 1
    seen = erase(given, torch.tensor([[2.0, 3.0, 4.0, 5.0], [7.0, 7.0, 0.0, 5.0]]))
    expected = given.clone()
    expected[0, :, 2:6, 3:8] = 0
    assert torch.equal(seen, expected)


def test_an_erased_rectangle_is_the_mean_colour_of_the_normalization() -> None:
    recipe = Recipe(input_size=32, resize=32, normalization="imagenet")
    augmentation = replace(centre(32, recipe), erased=torch.tensor([[0.0, 0.0, 8.0, 8.0]]))
    seen = apply(pictures(1, 32), augmentation, recipe)
    assert seen[..., :8, :8].abs().max() == 0 and seen[..., 8:, 8:].abs().min() > 0


def test_rectangles_are_drawn_as_torchvision_draws_them() -> None:
    count, side = 3000, 64
    recipe = Recipe(input_size=side, resize=side, erase=1.0)
    ours = draw(count, side, recipe, torch.Generator().manual_seed(1)).erased
    torch.manual_seed(2)
    blank = torch.zeros(3, side, side)
    theirs = torch.tensor(
        [RandomErasing.get_params(blank, (0.02, 0.33), (0.3, 3.3), [0.0])[:4] for _ in range(count)]
    ).float()
    for one, other in zip(ours.unbind(1), theirs.unbind(1), strict=True):
        error = 5 * float(other.std()) * math.sqrt(2 / count)
        assert abs(float(one.mean() - other.mean())) < error


def test_blur_is_gaussian_away_from_the_edges() -> None:
    given, recipe = pictures(2, 48), Recipe()
    augmentation = replace(centre(48, recipe), sigma=torch.tensor([1.3, 0.6]))
    seen = shown(apply(given, augmentation, recipe))
    for place, sigma in enumerate((1.3, 0.6)):
        expected = reference.gaussian_blur(given[place].float() / 255, [21, 21], [sigma, sigma])
        inside = (slice(None), slice(11, -11), slice(11, -11))
        assert farthest(seen[place][inside], expected[inside]) < LEVEL


def test_draws_have_the_ranges_that_the_recipe_gives() -> None:
    recipe = Recipe(flip=0.25, rotate=15.0, colour=0.3, blur=2.0, erase=0.4)
    augmentation = draw(8000, 64, recipe, torch.Generator().manual_seed(0))
    assert abs(float(augmentation.mirrored.float().mean()) - 0.25) < 0.03
    assert abs(float((augmentation.erased[:, 2] > 0).float().mean()) - 0.4) < 0.03
    limit = math.radians(15)
    for values, low, high in (
        (augmentation.angle, -limit, limit),
        (augmentation.colour, 0.7, 1.3),
        (augmentation.sigma, 0.0, 2.0),
    ):
        assert low <= values.min() < low + 0.01 and high - 0.01 < values.max() <= high + 1e-6
        assert abs(float(values.mean()) - (low + high) / 2) < 0.03


def seen_with(seed: int) -> bytes:
    recipe = Recipe(blur=1.0, erase=0.5)
    augmentation = draw(8, 40, recipe, torch.Generator().manual_seed(seed))
    return bytes(apply(pictures(8, 40), augmentation, recipe).numpy().tobytes())


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    assert seen_with(1) == seen_with(1)
    assert seen_with(1) != seen_with(2)


def test_a_part_of_a_draw_shows_what_the_whole_shows() -> None:
    recipe = Recipe(blur=1.0, erase=0.5)
    given, augmentation = pictures(8, 40), draw(8, 40, recipe, torch.Generator().manual_seed(4))
    part = augmentation[slice(2, 5)]
    assert isinstance(part, Augmentation) and all(
        len(getattr(part, one.name)) == 3 for one in fields(part)
    )
    whole = apply(given, augmentation, recipe)
    assert farthest(apply(given[2:5], part, recipe), whole[2:5]) < 1e-5
