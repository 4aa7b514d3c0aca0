"""Tiny data sets that a network learns in a few epochs: the place and tint of a bright bar."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.__main__ import main
from pipeline.sample import Sample
from stages.training.data import Crops
from stages.training.recipes import Recipe
from stages.training.state import Numbers, State
from stages.training.stream import TrainingSet

FOUR = ("none", "openmouth", "pouting", "smile")
torch.set_num_threads(1)  # work this small is slower with two, much slower on a busy machine
TESTS = Path(__file__).parent
ALONE = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}
"""The environment of processes whose numbers are to be those of this one."""
TINTS = ((230, 90, 90), (90, 230, 90), (90, 90, 230), (220, 220, 90))
SIDE = 32


def picture(place: int, labels: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """32×32×3: noise with a bright horizontal bar, whose row and tint tell the label."""
    image = random.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
    middle = int((place + 0.5) * SIDE / labels) + int(random.integers(-1, 2))
    image[middle - 2 : middle + 2, 6:26] = TINTS[place]
    return image


def crops(counts: Sequence[int], seed: int = 0) -> Crops:
    """So many pictures of each label, label by label, held in memory."""
    random = np.random.default_rng(seed)
    classes = [place for place, count in enumerate(counts) for _ in range(count)]
    images = np.stack([picture(place, len(counts), random) for place in classes])
    samples = [
        Sample(f"{FOUR[place]}/{number:03d}.png", FOUR[place], Path("nowhere"))
        for number, place in enumerate(classes)
    ]
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2)
    return Crops(pictures, torch.tensor(classes), samples)


def put(folder: Path, counts: Mapping[str, int], seed: int = 0) -> None:
    """Files `folder`/<label>/<person>-<number>.png, four pictures a person."""
    random = np.random.default_rng(seed)
    for place, (label, count) in enumerate(sorted(counts.items())):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            file = folder / label / f"p{number // 4:02d}-{number:03d}.png"
            assert cv2.imwrite(str(file), picture(place, len(counts), random))


# Brow tilt, eye height, mouth curve, mouth opening: what tells the drawn faces apart.
FACES = {
    "anger": (3, 2, -2, 0),
    "disgust": (2, 1, -4, 1),
    "fear": (-3, 4, -1, 3),
    "happy": (0, 3, 5, 1),
    "sadness": (-3, 2, -4, 0),
    "surprise": (0, 4, 0, 6),
    "contempt": (0, 2, 1, 0),
}


def face(label: str, random: np.random.Generator) -> NDArray[np.uint8]:
    """A drawn 48×48 grey face with this expression, somewhat elsewhere and otherwise each time."""
    brow, eye, curve, opening = FACES[label] + random.normal(0, 0.4, 4)
    x, y = random.integers(22, 27), random.integers(21, 26)
    skin, ink = int(random.integers(130, 220)), int(random.integers(10, 60))
    image = np.full((48, 48), int(random.integers(0, 110)), np.uint8)
    cv2.ellipse(image, (x, y), (17, 21), 0, 0, 360, skin, -1)
    for side in (-1, 1):
        cv2.ellipse(image, (x + 7 * side, y - 4), (3, max(1, round(eye))), 0, 0, 360, ink, -1)
        inner, outer = (x + 3 * side, y - 9 + round(brow / 2)), (x + 11 * side, y - 9 - round(brow))
        cv2.line(image, inner, outer, ink, 1)
    across = np.linspace(-1, 1, 15)
    height = y + 11 + curve * (0.5 - across**2)
    lips = [
        np.stack([x + 8 * across, height + way * opening * (1 - across**2)], axis=1)
        for way in (-1, 1)
    ]
    cv2.polylines(
        image, [np.concatenate([lips[0], lips[1][::-1]]).round().astype(np.int32)], True, ink
    )
    noisy = image + random.normal(0, 8, image.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def put_faces(folder: Path, labels: int, count: int, seed: int = 0) -> None:
    """Files `folder`/<label>/<number>.png: drawn faces of the first so many labels."""
    random = np.random.default_rng(seed)
    for label in list(FACES)[:labels]:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            assert cv2.imwrite(str(folder / label / f"{number:03d}.png"), face(label, random))


def put_divided(raw: Path, train: Mapping[str, int], val: Mapping[str, int]) -> None:
    """The same below train/ and val/, so that the split is given."""
    put(raw / "train", train, seed=1)
    put(raw / "val", val, seed=2)


def flags(home: Path) -> list[str]:
    """Where a command finds all it needs: whole pictures, in one process."""
    where = ["--raw", str(home / "raw"), "--processed", str(home / "processed")]
    return [*where, "--region", "whole", "--workers", "0", "--device", "cpu"]


def train(home: Path, *more: str) -> int:
    """The command itself, in this process; its exit code."""
    return main(["train", *flags(home), *more])


def epochs_in(run: Path) -> list[int]:
    return [one["epoch"] for one in metrics_in(run)]


def metrics_in(run: Path) -> list[dict[str, Any]]:
    path = run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


class Kept:
    """A record that keeps the numbers of each epoch in memory."""

    shows_progress = False

    def __init__(self, stop_after: int = 0) -> None:
        self.numbers: list[Numbers] = []
        self.better: list[bool] = []
        self._stop_after = stop_after

    def start(self, state: State, train: TrainingSet, recipe: Recipe) -> None:
        assert state.epoch == 0 and len(train) > 0 and recipe.epochs > 0

    def epoch(self, state: State, numbers: Numbers, better: bool) -> None:
        assert numbers["epoch"] == state.epoch
        self.numbers.append(numbers)
        self.better.append(better)

    @property
    def stop_requested(self) -> bool:
        return 0 < self._stop_after <= len(self.numbers)


def weights_of(network: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers by name."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def changed(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Iterator[str]:
    """Names whose values are not the same to the bit."""
    assert one.keys() == other.keys()
    return (name for name in one if not torch.equal(one[name], other[name]))


if __name__ == "__main__":  # small_sets.py FOLDER LABELS COUNT draws faces
    put_faces(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
