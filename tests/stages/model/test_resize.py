"""The resize inside exported models: OpenCV's, to the level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.face.crop import square
from stages.model.resize import resized


def levels_apart(size: int, side: int, seed: int) -> int:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (size, size, 3), np.uint8)
    ours = resized(torch.from_numpy(picture).permute(2, 0, 1)[None], side)[0].permute(1, 2, 0)
    return int(np.abs(ours.numpy() - square(picture, side)).max())


@pytest.mark.parametrize(("size", "side"), [(128, 72), (144, 72), (72, 72), (96, 32), (48, 72)])
def test_usual_sizes_are_resized_to_the_byte(size: int, side: int) -> None:
    assert levels_apart(size, side, seed=0) == 0


@given(st.integers(2, 200), st.integers(2, 130), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_any_size_is_resized_to_a_level(size: int, side: int, seed: int) -> None:
    assert levels_apart(size, side, seed) <= 1
