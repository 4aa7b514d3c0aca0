"""A picture is halved to the means of its pixels, and an odd rest is left out."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.pictures import halved


@pytest.mark.parametrize("shape", [(9, 14, 3), (8, 12), (4, 4, 3)])
def test_four_by_four_pixels_become_their_mean(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    height, width = (side // 4 for side in shape[:2])
    blocks = image[: 4 * height, : 4 * width].reshape(height, 4, width, 4, *shape[2:])
    small = halved(image, 2)
    assert small.shape == (height, width, *shape[2:])
    assert np.abs(small - blocks.mean(axis=(1, 3))).max() <= 1


def test_a_picture_halved_no_time_is_itself() -> None:
    image = np.zeros((5, 7, 3), np.uint8)
    assert np.shares_memory(halved(image, 0), image) and halved(image, 0).shape == image.shape
