"""A folder of photographs to measure on: real ones enlarged and varied, as crawls bring them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageEnhance, ImageOps

# A crawl of 500 pictures had a median of 0.36 and a mean of 0.9 megapixels: log-normal, this wide.
MEDIAN, SIGMA, LARGEST = 0.36, 1.35, 20.0
FORMATS = ("jpg",) * 8 + ("png", "webp")


def vary(source: Path, target: Path, count: int, crowds: float = 0.0, seed: int = 0) -> None:
    """Fill `target` with `count` variations of photographs that are spread evenly over those below
    `source`, label by label; a share of `crowds` of them shows several people.

    Each is a photograph shrunk or enlarged, set somewhere into a blurred copy of itself, mirrored
    and brightened by chance, and saved as JPEG, PNG or WebP.
    """
    chance = np.random.default_rng(seed)
    photographs = sorted(path for path in source.rglob("*.jpg") if _decodes(path))
    for number in range(count):
        photograph = photographs[number * len(photographs) // count]
        folder = target / photograph.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        suffix = FORMATS[chance.integers(len(FORMATS))]
        picture = varied(Pillow.open(photograph).convert("RGB"), chance)
        if crowds and chance.random() < crowds:
            add_people(
                picture, [photographs[one] for one in chance.integers(len(photographs), size=8)]
            )
        picture.save(folder / f"{number:05d}.{suffix}", quality=int(chance.integers(80, 96)))


def _decodes(path: Path) -> bool:
    """Whether a file is a whole picture: the demo has spoilt ones among its own."""
    try:
        Pillow.open(path).load()
    except OSError:
        return False
    return True


def varied(photograph: Pillow.Image, chance: np.random.Generator) -> Pillow.Image:
    """One variation, of a log-normal size and a shape from 2:3 to 3:2."""
    pixels = 1e6 * min(MEDIAN * float(np.exp(chance.normal(0, SIGMA))), LARGEST)
    pixels = max(pixels, 200 * 200)
    shape = float(np.exp(chance.uniform(-0.4, 0.4)))
    width, height = round((pixels * shape) ** 0.5), round((pixels / shape) ** 0.5)
    side = round(min(width, height) * float(chance.uniform(0.5, 1.0)))
    small = photograph.resize((width // 16 + 1, height // 16 + 1)).resize((width, height))
    left, top = (int(chance.integers(0, room + 1)) for room in (width - side, height - side))
    small.paste(photograph.resize((side, side), Pillow.Resampling.LANCZOS), (left, top))
    if chance.random() < 0.5:
        small = ImageOps.mirror(small)
    return ImageEnhance.Brightness(small).enhance(float(chance.uniform(0.7, 1.2)))


def add_people(picture: Pillow.Image, photographs: list[Path]) -> None:
    """Set photographs in a row along the lower edge, each an eighth as wide as the picture."""
    side = picture.width // len(photographs)
    for place, photograph in enumerate(photographs):
        small = Pillow.open(photograph).convert("RGB").resize((side, side))
        picture.paste(small, (place * side, max(0, picture.height - side)))
