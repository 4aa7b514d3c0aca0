"""Crops from disk, as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.pictures import decode
from pipeline.sample import Image
from pipeline.trouble import Trouble

SIDE = 128  # pixels; crops of several sizes are brought to this


@dataclass(frozen=True)
class Crops:
    """N×3×S×S uint8 pictures, N int64 classes, N paths relative to the folder read."""

    pictures: Tensor
    classes: Tensor
    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.classes)


def labels_of(dataset: Path) -> list[str]:
    """The labels of a data set, sorted by name: their places are the class indices."""
    train = dataset / "train"
    found = sorted(
        folder.name for folder in train.iterdir() if folder.is_dir() and any(folder.iterdir())
    )
    if len(found) < 2:
        raise Trouble(
            f"{train} holds {len(found)} label(s), two are needed: add pictures of another"
        )
    return found


def load(folder: Path, labels: Sequence[str]) -> Crops:
    """All pictures of `folder`/<label>, in order of label and name."""
    files = [
        (path, index)
        for index, label in enumerate(labels)
        for path in sorted((folder / label).glob("*"))
        if not path.name.startswith(".")
    ]
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda file: decode(file[0].read_bytes()), files))
    return Crops(
        stack(images),
        torch.tensor([index for _, index in files], dtype=torch.int64),
        [path.relative_to(folder).as_posix() for path, _ in files],
    )


def stack(images: Sequence[Image]) -> Tensor:
    """Pictures as N×3×S×S uint8; of several sizes, or not square, each is brought to SIDE."""
    if not images:
        return torch.zeros((0, 3, SIDE, SIDE), dtype=torch.uint8)
    height, width, _ = images[0].shape
    if height != width or any(image.shape != images[0].shape for image in images):
        images = [square(image, SIDE) for image in images]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def square(image: Image, side: int) -> Image:
    """The middle of an H×W×3 picture as side×side."""
    height, width = image.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    middle = image[top : top + short, left : left + short]
    way = cv2.INTER_AREA if side < short else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(middle, (side, side), interpolation=way), dtype=np.uint8)
