"""Bytes mutated from valid files of every format: kept or rejected, and nothing else comes out."""

from __future__ import annotations

import os
import random
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_formats import FORMATS

from pipeline.sample import Reject, Sample
from stages.normalize import Normalize

NORMALIZE = Normalize(max_megapixels=0.5)  # a header that asks for more costs no time
REASONS = {
    *("empty", "not_an_image", "unsupported_format", "truncated", "corrupt", "too_large"),
}
EXTREMES = [bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1", b"\x80"]


@pytest.fixture(scope="module")
def seeds() -> dict[str, bytes]:
    return {name: make()[0] for name, (make, _) in FORMATS.items()}


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to four injuries: bits, runs, numbers, cuts, holes, repeats, most often near the head."""
    wound = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        reach = len(wound) if chance.random() < 0.5 else min(len(wound), 200)
        start = chance.randrange(max(1, reach))
        end = start + chance.choice((1, 1, 2, 4, 16, 256))
        match chance.randrange(8):
            case 0 | 1 if wound:
                wound[min(start, len(wound) - 1)] ^= 1 << chance.randrange(8)
            case 2:
                wound[start:end] = chance.randbytes(end - start)
            case 3:
                extreme = chance.choice(EXTREMES)
                wound[start : start + len(extreme)] = extreme
            case 4:
                del wound[start:end]
            case 5:
                wound[start:start] = wound[start:end]
            case 6:
                wound[start:end] = bytes(end - start)
            case _:
                del wound[chance.randrange(len(wound) + 1) :]
    return bytes(wound)


def verdict(file: Path) -> str:
    """The reason that normalize gives, or "kept". Raises AssertionError for anything else."""
    try:
        image = NORMALIZE(Sample(f"a/{file.name}", "a", file)).image
    except Reject as reject:
        assert reject.reason in REASONS
        return reject.reason
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert 0 < image.shape[0] * image.shape[1] <= 0.5e6
    return "kept"


def escapes(
    seeds: dict[str, bytes], numbers: range, folder: Path
) -> tuple[Counter[str], list[str]]:
    """Counts by verdict, and a line for each other outcome, with the number that repeats it."""
    counts: Counter[str] = Counter()
    out: list[str] = []
    for number in numbers:
        chance = random.Random(number)
        name = chance.choice(sorted(seeds))
        file = folder / ("one.tga" if name.startswith("TGA") else "one")
        file.write_bytes(mutated(seeds[name], chance))
        try:
            counts[verdict(file)] += 1
        except Exception:
            out.append(f"{number} ({name}): {traceback.format_exc(limit=-3)}")
    return counts, out


def test_three_hundred_mutated_files_are_kept_or_rejected(
    seeds: dict[str, bytes], tmp_path: Path
) -> None:
    counts, out = escapes(seeds, range(300), tmp_path)
    assert out == []
    assert counts["kept"] > 30 and counts["corrupt"] > 30 and counts["truncated"] > 10


@pytest.mark.long
def test_ten_thousand_mutated_files_are_kept_or_rejected(
    seeds: dict[str, bytes], tmp_path: Path
) -> None:
    start = int(os.environ.get("FUZZ_FROM", "0"))  # other ten thousands
    counts, out = escapes(seeds, range(start, start + 10_000), tmp_path)
    print(dict(counts))
    assert out == []
