"""Crops as one tensor: decoded once, kept beside the data set, mapped into memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from pipeline.pictures import decode
from pipeline.sample import Image, Sample
from stages.face.crop import square

SIDE = 128  # pixels; crops of several sizes are brought to this


@dataclass(frozen=True)
class Crops:
    """N×3×S×S uint8 pictures, N int64 classes, and the sample that each came from.

    Pictures are channels last (a pixel's colours lie together): cutting is fastest so.
    """

    pictures: Tensor
    classes: Tensor
    samples: Sequence[Sample]

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def side(self) -> int:
        """Pixels."""
        return self.pictures.shape[2]

    def some(self, count: int) -> Tensor:
        """The first pictures, N×3×S×S uint8."""
        return self.pictures[:count]

    def take(self, places: Sequence[int]) -> Crops:
        """Some of them, in the order given."""
        index = torch.tensor(places, dtype=torch.int64)
        return Crops(
            self.pictures[index], self.classes[index], [self.samples[place] for place in places]
        )


def load_crops(
    samples: Sequence[Sample], labels: Sequence[str], side: int = 0, cache: Path | None = None
) -> Crops:
    """The pictures of some samples at side×side pixels; 0 leaves squares of one size as they are.

    `cache` names a file that keeps them for the next time. It is mapped, not read, so a set may be
    larger than memory. (A private mapping would count as memory: this one is shared.)
    """
    classes = torch.tensor([labels.index(sample.label) for sample in samples], dtype=torch.int64)
    if cache is None:
        pictures = np.empty(_shape(samples, side), np.uint8)
        _fill(pictures, samples)
    else:
        if not cache.exists():
            _keep(cache, samples, side)
        pictures = np.load(cache, mmap_mode="r+")
    return Crops(torch.from_numpy(pictures).permute(0, 3, 1, 2), classes, samples)


def _keep(cache: Path, samples: Sequence[Sample], side: int) -> None:
    """Decode into a mapped file, which is complete before it has its name; delete older data's."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    fingerprint = cache.name.rsplit("-", 1)[-1]
    for old in cache.parent.glob("*.npy"):
        if not old.name.endswith(fingerprint):
            old.unlink()
    beside = cache.with_name(f".new-{cache.name}")
    pictures = np.lib.format.open_memmap(beside, "w+", np.uint8, _shape(samples, side))
    _fill(pictures, samples)
    pictures.flush()
    beside.replace(cache)


def _shape(samples: Sequence[Sample], side: int) -> tuple[int, int, int, int]:
    """N×S×S×3. S is `side`; where that is 0, the side of squares of one size, else SIDE."""
    if side:
        return len(samples), side, side, 3
    with ThreadPoolExecutor() as pool:
        sizes = set(pool.map(_size, samples))
    width, height = sizes.pop() if len(sizes) == 1 else (SIDE, SIDE)
    side = width if width == height else SIDE
    return len(samples), side, side, 3


def _size(sample: Sample) -> tuple[int, int]:
    """Width and height of a crop, in pixels; where it is a file, from its first bytes."""
    file = sample.file
    with Pillow.open(file if isinstance(file, Path) else io.BytesIO(file.read_bytes())) as picture:
        return picture.size


def _fill(pictures: NDArray[np.uint8], samples: Sequence[Sample]) -> None:
    side = pictures.shape[1]

    def put(place: int) -> None:
        pictures[place] = square(decode(samples[place].file.read_bytes()), side)

    with ThreadPoolExecutor() as pool:
        list(pool.map(put, range(len(samples))))


def stack(images: Sequence[Image], side: int) -> Tensor:
    """Crops as N×3×S×S uint8, resized to the training crops' side."""
    squares = np.stack([square(image, side) for image in images])
    return torch.from_numpy(squares).permute(0, 3, 1, 2)
