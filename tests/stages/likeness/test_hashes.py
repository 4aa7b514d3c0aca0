"""Hashes: equal for equal pixels, near for copies, far apart for other pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_likeness import CHANGES, scene

from pipeline.sample import Image
from stages.likeness import hashes
from stages.likeness.pairs import distance


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", range(3))
def test_a_changed_copy_is_near(change: str, seed: int) -> None:
    image = scene(seed)
    copy = CHANGES[change](image)
    assert distance(hashes.recognition(image), hashes.recognition(copy)) <= 22


def test_other_pictures_are_far() -> None:
    known = [hashes.recognition(scene(seed)) for seed in range(12)]
    apart = [distance(one, other) for place, one in enumerate(known) for other in known[:place]]
    assert min(apart) > 60


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_mirrored_hashes_are_those_of_the_mirrored_picture(seed: int) -> None:
    image = scene(seed)
    seen, turned = hashes.hashes(image), hashes.hashes(np.ascontiguousarray(image[:, ::-1]))
    assert seen is not None and turned is not None
    assert np.bitwise_count(hashes.mirrored(seen) ^ turned).sum(axis=1).max() <= 4


def test_pixels_tell_any_change_of_value_or_shape() -> None:
    image = scene(0)
    changed = image.copy()
    changed[5, 7, 1] ^= 1
    flat = image.reshape(image.shape[1], image.shape[0], 3)
    texts = {hashes.recognition(one)["content"] for one in (image, changed, flat)}
    assert len(texts) == 3
    assert hashes.recognition(image.copy()) == hashes.recognition(image)


def test_a_view_of_a_picture_has_the_facts_of_its_copy() -> None:
    view = scene(1)[10:200, 20:280]
    assert hashes.recognition(view) == hashes.recognition(np.ascontiguousarray(view))


def ramp(width: int) -> Image:
    row = np.linspace(0, 255, width).astype(np.uint8)
    return np.repeat(np.tile(row, (200, 1))[:, :, None], 3, axis=2)


@pytest.mark.parametrize(
    "image", [np.full((64, 64, 3), 90, np.uint8), ramp(300), ramp(200).transpose(1, 0, 2)]
)
def test_a_picture_without_detail_has_no_hashes(image: Image) -> None:
    assert hashes.recognition(np.ascontiguousarray(image))["hashes"] == ""


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_facts_give_the_hashes_back(seed: int, count: int) -> None:
    pictures = [scene(seed + number, 60, 50) for number in range(count)]
    texts = [hashes.recognition(image)["hashes"] for image in pictures]
    found = hashes.unpacked(texts)
    assert found.shape == (count, hashes.CROPS, 4)
    for image, row in zip(pictures, found, strict=True):
        expected = hashes.hashes(image)
        assert expected is not None and np.array_equal(expected, row)
