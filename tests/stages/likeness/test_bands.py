"""The search for near pairs finds what comparing each with each finds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.likeness import bands
from stages.likeness.hashes import CROPS, Hashes, mirrored


def noise(count: int, seed: int) -> Hashes:
    return np.random.default_rng(seed).integers(0, 2**64, (count, 4), dtype=np.uint64)


def flipped(words: Hashes, most: int, seed: int) -> tuple[Hashes, NDArray[np.int64]]:
    """Each hash with 0 to `most` bits flipped, and how many."""
    chance = np.random.default_rng(seed)
    bits = np.unpackbits(words.view(np.uint8), axis=1)
    counts = chance.integers(0, most + 1, len(words))
    for row, count in zip(bits, counts, strict=True):
        row[chance.choice(256, count, replace=False)] ^= 1
    return np.packbits(bits, axis=1).view(np.uint64), counts


@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(0, 15))
def test_up_to_fifteen_bits_every_pair_is_found(seed: int, count: int, most: int) -> None:
    words = noise(count, seed)
    copies, counts = flipped(words, most, seed + 1)
    pairs = bands.near_hashes(np.concatenate([words, copies]), 15)
    assert pairs.left.tolist() == list(range(count))
    assert (pairs.right - pairs.left == count).all()
    assert np.array_equal(pairs.distance, counts)


def test_most_pairs_of_thirty_bits_are_found() -> None:
    words = noise(2000, 0)
    copies, _ = flipped(words, 30, 1)
    pairs = bands.near_hashes(np.concatenate([words, copies]), 30)
    assert (pairs.right - pairs.left == 2000).all()
    assert len(pairs.left) > 0.97 * 2000


def test_thousands_of_equal_hashes_are_compared_with_few_each() -> None:
    words = np.repeat(noise(1, 0), 3000, axis=0)
    pairs = bands.near_hashes(words, 0)
    assert len(pairs.left) <= 3000 * 16
    assert set(pairs.left.tolist()) | set(pairs.right.tolist()) == set(range(3000))


def test_one_crop_like_another_makes_two_pictures_near() -> None:
    hashes = noise(3 * CROPS, 0).reshape(3, CROPS, 4)
    hashes[2, 3] = hashes[0, 1]
    pairs = bands.near_pictures(hashes, 10)
    assert [column.tolist() for column in pairs] == [[0], [2], [0]]


def test_pictures_are_near_in_the_mirror_too() -> None:
    hashes = noise(2 * CROPS, 0).reshape(2, CROPS, 4)
    hashes[1, 0] = mirrored(hashes[0, 4])
    pairs = bands.near_pictures(hashes, 10)
    assert [column.tolist() for column in pairs] == [[0], [1], [0]]


def test_no_pictures_give_no_pairs() -> None:
    assert all(
        len(column) == 0 for column in bands.near_pictures(np.empty((0, CROPS, 4), np.uint64), 30)
    )
