"""Copies show the same in every part; a next frame, a watermark or another picture does not."""

from __future__ import annotations

import numpy as np
import pytest
from small_likeness import CHANGES, next_frame, scene

from stages.likeness.parts import is_same

SAME = ["half the size", "JPEG quality 30", "grey", "mirrored", "cropped by 3%", "cropped by 7%"]


@pytest.mark.parametrize("change", SAME)
@pytest.mark.parametrize("seed", range(3))
def test_a_copy_shows_the_same(change: str, seed: int) -> None:
    assert is_same(scene(seed), CHANGES[change](scene(seed)))


@pytest.mark.parametrize("seed", range(3))
def test_a_change_of_one_part_is_seen(seed: int) -> None:
    assert not is_same(scene(seed), next_frame(scene(seed)))


def test_pictures_without_detail_are_not_the_same_and_raise_nothing() -> None:
    plain = np.full((90, 80, 3), 7, np.uint8)
    assert not is_same(plain, scene(0))
    assert not is_same(scene(0), plain)


def test_another_picture_is_not_the_same() -> None:
    assert not is_same(scene(0), scene(1))
