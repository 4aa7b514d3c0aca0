"""Copies show the same in every part; a next frame, a watermark or another picture does not."""

from __future__ import annotations

import pytest
from small_likeness import CHANGES, next_frame, scene

from stages.likeness.parts import is_same


@pytest.mark.parametrize("change", ["half the size", "JPEG quality 30", "grey", "mirrored"])
@pytest.mark.parametrize("seed", range(3))
def test_a_copy_shows_the_same(change: str, seed: int) -> None:
    assert is_same(scene(seed), CHANGES[change](scene(seed)))


@pytest.mark.parametrize("seed", range(3))
def test_a_change_of_one_part_is_seen(seed: int) -> None:
    assert not is_same(scene(seed), next_frame(scene(seed)))


def test_another_picture_is_not_the_same() -> None:
    assert not is_same(scene(0), scene(1))
