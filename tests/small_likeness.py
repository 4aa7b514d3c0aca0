"""Pictures that look like photographs to a hash, and the changes that copies come with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageEnhance, ImageOps

from pipeline.pictures import decode, encode
from pipeline.sample import Image, Sample
from stages.normalize import Normalize


def scene(seed: int, width: int = 320, height: int = 240) -> Image:
    """H×W×3 uint8 RGB: soft patches of colour with some ellipses before them."""
    chance = np.random.default_rng(seed)
    patches = chance.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        middle = (int(chance.integers(width)), int(chance.integers(height)))
        axes = (int(chance.integers(5, width // 4)), int(chance.integers(5, height // 4)))
        colour = tuple(map(int, chance.integers(0, 256, 3)))
        cv2.ellipse(image, middle, axes, float(chance.uniform(0, 180)), 0, 360, colour, -1)
    noise = chance.normal(0, 3, image.shape)
    soft: Image = cv2.GaussianBlur(image, (0, 0), 1)
    noisy: Image = np.clip(soft + noise, 0, 255).astype(np.uint8)
    return noisy


def next_frame(image: Image) -> Image:
    """The picture with another patch in its middle, as another expression is."""
    changed = image.copy()
    height, width = image.shape[:2]
    middle, axes = (width // 2, height // 2), (width // 10, height // 16)
    cv2.ellipse(changed, middle, axes, 0, 0, 360, (200, 40, 60), -1)
    return changed


def _by_pillow(change: Callable[[Pillow.Image], Pillow.Image]) -> Callable[[Image], Image]:
    return lambda image: np.asarray(change(Pillow.fromarray(image)).convert("RGB"))


def _crop(share: float) -> Callable[[Image], Image]:
    def cropped(image: Image) -> Image:
        top, left = (round(side * share) for side in image.shape[:2])
        return np.ascontiguousarray(image[top:-top, left:-left])

    return cropped


CHANGES: dict[str, Callable[[Image], Image]] = {
    "half the size": _by_pillow(lambda image: image.reduce(2)),
    "JPEG quality 30": lambda image: decode(encode(image, 30)),
    "grey": _by_pillow(lambda image: image.convert("L")),
    "brighter": _by_pillow(lambda image: ImageEnhance.Brightness(image).enhance(1.1)),
    "mirrored": _by_pillow(ImageOps.mirror),
    "border of 5%": _by_pillow(lambda image: ImageOps.expand(image, image.width // 20, "white")),
    "cropped by 3%": _crop(0.03),
    "cropped by 7%": _crop(0.07),
}
"""What a copy went through by name; each takes and gives H×W×3 uint8 RGB."""


def normalized(folder: Path, key: str, data: Image | bytes) -> Sample:
    """A picture, or the bytes of a file, below `folder`/raw as `normalize` hands it on."""
    raw, file = folder / "raw" / key, folder / "normalized" / key
    for path in (raw, file):
        path.parent.mkdir(parents=True, exist_ok=True)
    raw.write_bytes(data if isinstance(data, bytes) else encode(data))
    label = key.split("/")[-2]
    sample = Normalize()(Sample(key, label, raw))
    file.write_bytes(sample.encoded if sample.encoded is not None else encode(sample.image))
    return Sample(key, label, file, sample.facts, "digest")
