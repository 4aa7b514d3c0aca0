"""The mistakes that a model is surest of, as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.sample import Image

KEPT = 60
ROWS, COLUMNS = 12, 8
SIDE, STRIP = 128, 18  # pixels of a tile, and of the text in it


@dataclass(frozen=True)
class Mistake:
    """A crop with its true and its predicted class, and the predicted one's share."""

    key: str
    true: int
    predicted: int
    share: float
    crop: Image


def worst(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """The surest mistakes first, as many as a sheet can show."""
    return sorted(mistakes, key=lambda mistake: (-mistake.share, mistake.key))[:KEPT]


def sheet(mistakes: Sequence[Mistake], labels: Sequence[str]) -> Image:
    """A row for each pair of labels that were mixed up, the surest mistake first."""
    from stages.predict.drawing import contact_sheet

    rows: dict[str, list[Image]] = {}
    for mistake in worst(mistakes):
        name = f"{labels[mistake.true]}, predicted {labels[mistake.predicted]}"
        rows.setdefault(name, []).append(_tile(mistake))
    return contact_sheet(dict(list(rows.items())[:ROWS]), COLUMNS, SIDE)


def _tile(mistake: Mistake) -> Image:
    """The crop with its share below, on SIDE×SIDE pixels of paper."""
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    tile = Pillow.new("RGB", (SIDE, SIDE), "white")
    crop = Pillow.fromarray(mistake.crop).resize((SIDE - STRIP, SIDE - STRIP))
    tile.paste(crop, (STRIP // 2, 0))
    font = ImageFont.load_default(STRIP * 0.7)
    place = (SIDE / 2, SIDE - STRIP / 2)
    ImageDraw.Draw(tile).text(place, f"{mistake.share:.1%}", "black", font, anchor="mm")
    return np.asarray(tile)
