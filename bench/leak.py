"""What a leak is worth: accuracy over folds with and without groups, on drawn bursts of pictures.

Each picture of a folder of labels becomes a burst of three that differ as frames of a film do: by a
pixel of place, by brightness, by JPEG. The folds are drawn picture by picture, by the groups that
dedupe finds, and by the bursts' names.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from programs import run

from pipeline.pictures import decode, encode
from pipeline.sample import Image

FRAMES = 3
NO_NEAR = ("--dedupe.max-distance", "0", "--dedupe.max-group-distance", "0")
WAYS = {
    "picture by picture": NO_NEAR,
    "by the groups that dedupe finds (default)": (),
    "by the bursts' names": (*NO_NEAR, "--group-by", r"/(\w+)-\d\.jpg"),
}


def frame(picture: Image, chance: np.random.Generator) -> Image:
    """The picture (H×W×3) moved by up to a pixel and up to 10 grey values brighter or darker."""
    moved = np.roll(picture, chance.integers(-1, 2, 2), axis=(0, 1))
    brighter = moved.astype(np.int16) + chance.integers(-10, 11)
    return brighter.clip(0, 255).astype(np.uint8)


def fill(source: Path, raw: Path, count: int) -> None:
    """`count` bursts of each label, raw/<label>/<picture>-<number>.jpg."""
    chance = np.random.default_rng(0)
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        (raw / folder.name).mkdir(parents=True)
        for path in sorted(folder.glob("*.jpg"))[:count]:
            picture = decode(path.read_bytes())
            for number in range(FRAMES):
                target = raw / folder.name / f"{path.stem}-{number}.jpg"
                target.write_bytes(encode(frame(picture, chance), 85))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="a folder of small pictures for each label")
    parser.add_argument("--count", type=int, default=40, help="bursts of each label")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--folds", type=int, default=4)
    chosen = parser.parse_args()
    print("| folds drawn | accuracy |\n| --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        raw = Path(name, "raw")
        fill(chosen.source, raw, chosen.count)
        for place, (way, flags) in enumerate(WAYS.items()):
            processed = Path(name, f"processed{place}")
            where = ("--raw", raw, "--processed", processed, "--region", "whole")
            how = ("--device", "cpu", "--epochs", chosen.epochs, "--folds", chosen.folds)
            run("-m", "pipeline", "train", *where, *how, *flags)
            figures = processed / "runs" / "default-folds" / "evaluation.json"
            accuracy = json.loads(figures.read_text(encoding="utf-8"))["accuracy"]
            print(f"| {way} | {accuracy['mean']:.1%} ± {accuracy['deviation']:.1%} |", flush=True)


if __name__ == "__main__":
    main()
