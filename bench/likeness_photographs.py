"""Likeness measured on a folder of photographs; see likeness.py."""

from __future__ import annotations

import io
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from unittest.mock import patch

import numpy as np
from copies import CHANGES
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps
from tqdm import tqdm

from pipeline.__main__ import main as pipeline
from pipeline.files import write
from pipeline.pictures import encode_png
from pipeline.sample import Facts, Image
from stages.dedupe import Dedupe
from stages.demo.portrait import POSES, portrait, warp
from stages.likeness import hashes, pairs
from stages.likeness.hashes import recognition
from stages.likeness.parts import MOST as MOST_DIFFERENCE
from stages.likeness.parts import difference
from stages.predict.drawing import contact_sheet

MOST = 60  # bits, of the curve
Distances = NDArray[np.int64]


def measure(folders: Sequence[Path], person: str, figure: Path | None, sheet: Path | None) -> None:
    """Print the tables for the photographs below folders; `person` is a regular expression."""
    files = [path for folder in folders for path in sorted(folder.rglob("*"))]
    paths = [path for path in files if path.suffix in (".jpg", ".png", ".webp")]
    pictures = [ImageOps.exif_transpose(Pillow.open(path)).convert("RGB") for path in paths]
    facts: list[Facts] = [recognition(np.asarray(picture)) for picture in pictures]
    near = pairs.near(facts, MOST)
    people = [match[0] if (match := re.search(person, path.name)) else "" for path in paths]
    print(f"{len(paths):,} photographs; pairs of them by the bits that differ:")
    for limit in (Dedupe.max_distance, 30, Dedupe.max_group_distance, 40, 50):
        at = [pair for pair in near if pair.distance <= limit]
        one = sum(people[pair.better] == people[pair.worse] != "" for pair in at)
        print(f"  up to {limit}: {len(at):,}, {one:,} of them of one person")
    if sheet:
        draw(sheet, paths, pictures, near)
    found = recall(pictures, facts)
    if figure:
        plot(figure, found, near)
    expressions()
    cost(folders)


def recall(pictures: Sequence[Pillow.Image], facts: Sequence[Facts]) -> dict[str, Distances]:
    """Bits between each picture and its changed copy, by change; prints a table of it."""
    print(
        "\n| change | median bits | 99th percentile | copies | in one group | same in every part |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    found: dict[str, Distances] = {}
    for name, change in CHANGES.items():
        bits, blocks = [], []
        for picture, known in zip(tqdm(pictures, name, leave=False), facts, strict=True):
            copy = np.asarray(change(picture))
            bits.append(pairs.distance(known, recognition(copy)))
            if len(bits) % 4 == 1:  # it takes 30 ms
                blocks.append(difference(np.asarray(picture), copy))
        found[name] = np.array(bits)
        share, grouped = (
            float(np.mean(found[name] <= limit))
            for limit in (Dedupe.max_distance, Dedupe.max_group_distance)
        )
        median, high = np.percentile(bits, [50, 99])
        print(
            f"| {name} | {median:.0f} | {high:.0f} | {share:.1%} | {grouped:.1%} "
            f"| {np.mean(np.array(blocks) <= MOST_DIFFERENCE):.0%} |"
        )
    return found


def expressions() -> None:
    """How far other expressions of one portrait are from each other, by hash and worst block."""
    image, points = portrait()
    poses = [
        warp(image, points, pose(points, np.random.default_rng(seed)))
        for pose in POSES.values()
        for seed in range(5)
    ]
    other = [(one, two) for place, one in enumerate(poses) for two in poses[: place - place % 5]]
    blocks = [difference(*both) for both in other]
    bits = [pairs.distance(recognition(one), recognition(two)) for one, two in other]
    print(
        f"\n{len(other):,} pairs of other expressions of the demo's portrait: bits at least "
        f"{min(bits)}, worst block at least {min(blocks):.1f}, 1st percentile "
        f"{np.percentile(blocks, 1):.1f}, median {np.median(blocks):.1f}"
    )


def cost(folders: Sequence[Path]) -> None:
    """CPU seconds of recognition, and of the whole preparation in one process."""
    spent = 0.0

    def timed(image: Image) -> Facts:
        nonlocal spent
        begun = time.process_time()
        found = recognition(image)
        spent += time.process_time() - begun
        return found

    with tempfile.TemporaryDirectory() as folder, patch.object(hashes, "recognition", timed):
        raw = Path(folder, "raw")
        for number, photographs in enumerate(folders):
            shutil.copytree(photographs, raw / str(number))
        where = ["--raw", str(raw), "--processed", str(Path(folder, "processed"))]
        begun = time.process_time()
        with redirect_stdout(io.StringIO()):
            pipeline(["lips", *where, "--workers", "0"])
        whole = time.process_time() - begun
    print(f"\nrecognition: {spent:.2f} of {whole:.2f} s, {spent / whole:.1%} of preparation")


def draw(
    path: Path,
    names: Sequence[Path],
    pictures: Sequence[Pillow.Image],
    near: Sequence[pairs.Pair],
    most: int = 200,
) -> None:
    """The nearest pairs as a contact sheet."""
    rows = {
        f"{pair.distance} {names[pair.better].stem} {names[pair.worse].stem}": [
            np.asarray(pictures[place]) for place in (pair.better, pair.worse)
        ]
        for pair in sorted(near, key=lambda pair: pair.distance)[:most]
    }
    if rows:
        write(path, encode_png(contact_sheet(rows, 2)))


def plot(path: Path, found: dict[str, Distances], near: Sequence[pairs.Pair]) -> None:
    """Share of copies found by threshold, and the pairs of different photographs up to it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    bits = np.arange(MOST + 1)
    for name in ("JPEG quality 10", "brighter by 20%", "cropped by 4%", "watermark", "logo box"):
        axes.plot(bits, [np.mean(found[name] <= limit) * 100 for limit in bits], label=name)
    axes.set(xlabel="bits that differ, of 256", ylabel="copies found, %", ylim=(0, 101))
    others = axes.twinx()
    apart = np.array([pair.distance for pair in near])
    wrong = [np.sum(apart <= limit) for limit in bits]
    others.plot(bits, wrong, "k:", label="pairs of different photographs (right)")
    others.set(ylabel="pairs", ylim=(0, max(10, wrong[-1])))
    for limit in (Dedupe.max_distance, Dedupe.max_group_distance):
        axes.axvline(limit, color="grey", linewidth=0.8)
    figure.legend(loc="outside lower center", ncols=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
