"""Copies: how many are found, what is wrongly taken for one, and what the search costs.

Without folders: the search among a million generated hashes, and `dedupe` of generated facts.
With folders of photographs: each is changed in every way that copies come with; `--figure FILE`
draws the share found by threshold, `--sheet FILE` the pairs that lie in the folders themselves.
"""

from __future__ import annotations

import argparse
import base64
import resource
import time
from pathlib import Path

import numpy as np
from likeness_photographs import measure

from pipeline.sample import Facts, Sample
from stages.dedupe import Dedupe
from stages.likeness import bands
from stages.likeness.hashes import CROPS, Hashes


def flipped(words: Hashes, most: int, chance: np.random.Generator) -> Hashes:
    """Each N×4 hash with 0 to `most` of its bits flipped."""
    bits = np.unpackbits(words.view(np.uint8), axis=1)
    order = chance.random(bits.shape).argsort(axis=1)
    bits ^= (order < chance.integers(0, most + 1, (len(words), 1))).astype(np.uint8)
    return np.packbits(bits, axis=1).view(np.uint64)


def search(count: int, limit: int = 30) -> None:
    """Hashes of which 5% are others with up to `limit` bits flipped."""
    chance = np.random.default_rng(0)
    copies = count // 20
    words = chance.integers(0, 2**64, (count, 4), dtype=np.uint64)
    originals = chance.choice(count - copies, copies, replace=False)
    words[count - copies :] = flipped(words[originals], limit, chance)
    begun = time.process_time()
    found = bands.near_hashes(words, limit)
    seconds = time.process_time() - begun
    planted = set(zip(originals.tolist(), range(count - copies, count), strict=True))
    share = len(planted & set(zip(found.left.tolist(), found.right.tolist(), strict=True))) / copies
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:,} hashes: {seconds:.1f} s of one core, {share:.2%} of {copies:,} planted pairs "
        f"found (up to {limit} bits), {len(found.left) - round(share * copies):,} others, "
        f"{memory:,.0f} MB in all"
    )


def decide(count: int) -> None:
    """CPU seconds of `dedupe` for facts of so many pictures, a tenth of them copies."""
    chance = np.random.default_rng(0)
    hashes = chance.integers(0, 2**64, (count, CROPS, 4), dtype=np.uint64)
    for crop in range(CROPS):
        hashes[: count // 10, crop] = flipped(
            hashes[count // 10 : count // 10 * 2, crop], 12, chance
        )
    samples = [
        Sample(
            f"smile/{place}.jpg",
            "smile",
            Path("nowhere"),
            Facts(
                width=640,
                height=480,
                bytes=place,
                content=str(place),
                hashes=base64.b64encode(words.tobytes()).decode(),
            ),
        )
        for place, words in enumerate(hashes)
    ]
    begun = time.process_time()
    decisions = list(Dedupe()(samples))
    seconds = time.process_time() - begun
    dropped = sum(decision.reject is not None for decision in decisions)
    print(f"dedupe of {count:,}: {seconds:.2f} s of one core, {dropped:,} dropped")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", help="of photographs")
    parser.add_argument("--person", default=r"^\d{3}(?=_)", help="regular expression on file names")
    parser.add_argument("--figure", type=Path, help="a PNG or SVG of the share found by threshold")
    parser.add_argument("--sheet", type=Path, help="a PNG of the near pairs in the folder")
    words = parser.parse_args()
    if words.folders:
        measure(words.folders, words.person, words.figure, words.sheet)
        return
    search(1_000_000)
    for count in (15_000, 15_150, 100_000):
        decide(count)


if __name__ == "__main__":
    main()
