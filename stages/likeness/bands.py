"""Near pairs among many hashes, without comparing each with each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.likeness.hashes import Hashes, mirrored

Indices = NDArray[np.int64]
DEEPEST = 64  # neighbours in a bucket that a hash is compared with; more are of one film or pattern
CHUNK = 1 << 18  # pairs compared at once: tens of megabytes


class Pairs(NamedTuple):
    """Pairs `left` < `right` of rows, and the bits by which each pair differs; sorted."""

    left: Indices
    right: Indices
    distance: Indices


def near_hashes(words: Hashes, limit: int) -> Pairs:
    """Pairs of N×4 uint64 hashes that differ in at most `limit` of their 256 bits.

    Only pairs that agree in one of 16 bands of 16 bits are looked at: random bits of 30 leave one
    in 9 of 10 pairs, of 20 in 99 of 100.
    """
    count = len(words)
    found = [np.empty(0, np.int64)]
    for band in words.view(np.uint16).reshape(count, 16).T:
        order = np.argsort(band, kind="stable")
        ordered = band[order]
        for step in range(1, min(DEEPEST, count - 1) + 1):
            same = np.flatnonzero(ordered[step:] == ordered[:-step])
            if not len(same):
                break
            left, right = order[same], order[same + step]
            near = _bits(words, left, right) <= limit
            found.append(left[near] * count + right[near])
    left, right = np.divmod(np.unique(np.concatenate(found)), max(count, 1))
    return Pairs(left, right, _bits(words, left, right))


def near_pictures(hashes: Hashes, limit: int) -> Pairs:
    """Pairs of pictures (N×CROPS×4 uint64) of which a crop of one is near a crop of the other, or
    near it in the mirror.
    """
    both = np.concatenate([hashes, mirrored(hashes)], axis=1)
    count, each, _ = both.shape
    rows = near_hashes(both.reshape(count * each, 4), limit)
    owners = np.sort(np.stack([rows.left // each, rows.right // each]), axis=0)
    codes = np.unique(owners[0] * count + owners[1])
    left, right = np.divmod(codes, max(count, 1))
    left, right = left[left < right], right[left < right]
    distance = least_distances(hashes, left, right)
    return Pairs(left, right, distance)


def least_distances(hashes: Hashes, left: Indices, right: Indices) -> Indices:
    """Bits that differ between the nearest two crops of each pair of pictures, mirrored or not."""
    least = np.empty(len(left), np.int64)
    for start in range(0, len(left), CHUNK // 32):
        part = slice(start, start + CHUNK // 32)
        one, other = hashes[left[part], :, None], hashes[right[part], None]
        for seen in (other, mirrored(other)):
            bits = np.bitwise_count(one ^ seen).sum(axis=-1, dtype=np.int64).min(axis=(1, 2))
            least[part] = bits if seen is other else np.minimum(least[part], bits)
    return least


def _bits(words: Hashes, left: Indices, right: Indices) -> Indices:
    """How many bits differ in each pair of rows."""
    differ = np.empty(len(left), np.int64)
    for start in range(0, len(left), CHUNK):
        part = slice(start, start + CHUNK)
        apart = words[left[part]] ^ words[right[part]]
        differ[part] = np.bitwise_count(apart).sum(axis=1, dtype=np.int64)
    return differ
