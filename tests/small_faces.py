"""A model of the portrait's four expressions that is trained in seconds, and pictures for it."""

from __future__ import annotations

import atexit
import csv
import json
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.__main__ import main
from pipeline.pictures import encode
from pipeline.sample import Image
from stages.commands.sample_data import vary
from stages.demo.portrait import POSES, portrait, warp
from stages.demo.video import write_video

torch.set_num_threads(1)  # work this small is slower with two


@cache
def expression(label: str) -> Image:
    """The portrait, 512×512 pixels, with a mouth as the label says."""
    original, points = portrait()
    return warp(original, points, POSES[label](points, np.random.default_rng(0)))


@cache
def home() -> Path:
    """A folder with raw/, processed/ and a trained model in it, gone when the tests end."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    put(folder / "raw", 16)
    where = ["--raw", str(folder / "raw"), "--processed", str(folder / "processed")]
    where += ["--workers", "0", "--device", "cpu", "--split.val", "0.2"]
    # Small batches: 160 steps make it sure of each expression, whatever the processor's rounding.
    few = ["--epochs", "40", "--batch", "16", "--crop-min", "0.85", "--rotate", "0"]
    assert main(["train", *where, *few]) == 0
    return folder


@cache
def video() -> Path:
    """Four seconds: none, smile, nobody, open mouth; its true labels lie beside it."""
    path = home() / "talking.mp4"
    write_video(path, 0, ("none", "smile", "nobody", "openmouth"), change=1)
    return path


def model() -> Path:
    return home() / "processed" / "runs" / "default"


def put(raw: Path, count: int) -> None:
    """Files `raw`/<label>/<number>.jpg."""
    for label in POSES:
        (raw / label).mkdir(parents=True)
        for number in range(count):
            picture = vary(expression(label), np.random.default_rng(number))
            (raw / label / f"{number}.jpg").write_bytes(encode(picture, quality=90))


def predict(output: Path, *flags: object, code: int = 0) -> list[dict[str, str]]:
    """The command itself, in this process; the rows of its table, if it is to write one."""
    where = ["--model", str(model()), "--output", str(output), "--workers", "0"]
    assert main(["predict", *where, *map(str, flags)]) == code
    return rows(output) if "--no-csv" not in flags else []


def rows(output: Path) -> list[dict[str, str]]:
    with open(output / "predictions.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lines(output: Path) -> list[dict[str, Any]]:
    text = (output / "predictions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def side_by_side(images: Sequence[Image]) -> Image:
    return np.hstack(images)
