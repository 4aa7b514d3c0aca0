"""Boxes, labels and contact sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from pipeline.sample import Image

BOX = (0, 230, 118)
PAPER = (255, 255, 255)
INK = (20, 20, 20)


def annotated(image: Image, box: Sequence[int] | None, text: str) -> Image:
    """A copy of an H×W×3 uint8 picture with a box (left, top, width, height) and a text by it.

    The text stands above the box, below it where there is no room, in the upper left corner
    where there is no box; it never leaves the picture.
    """
    picture = Pillow.fromarray(image)
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    line = max(2, min(width, height) // 200)
    font = _font(text, width, max(12, min(width, height) // 20))
    _, _, right, bottom = (int(edge) for edge in draw.textbbox((0, 0), text, font=font))
    tall, wide = bottom + 2 * line, right + 2 * line
    x, y = 0, 0
    if box is not None:
        draw.rectangle((box[0], box[1], box[0] + box[2], box[1] + box[3]), outline=BOX, width=line)
        below = box[1] + box[3]
        y = box[1] - tall if box[1] >= tall else min(below, height - tall)
        x = min(max(0, box[0]), max(0, width - wide))
    draw.rectangle((x, y, x + wide, y + tall), fill=BOX)
    draw.text((x + line, y + line // 2), text, font=font, fill=INK)
    return np.asarray(picture)


def contact_sheet(rows: Mapping[str, Sequence[Image]], columns: int, side: int = 96) -> Image:
    """A row of pictures for each name, `columns` of them at most, each side×side pixels."""
    font = ImageFont.load_default(side / 5)
    margin = side // 12
    name_width = int(max(font.getlength(name) for name in rows)) + 2 * margin
    size = (name_width + columns * (side + margin), len(rows) * (side + margin) + margin)
    sheet = Pillow.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for place, (name, images) in enumerate(rows.items()):
        y = margin + place * (side + margin)
        draw.text((margin, y + side / 2), name, font=font, fill=INK, anchor="lm")
        for column, image in enumerate(images[:columns]):
            small = Pillow.fromarray(image).resize((side, side), Pillow.Resampling.LANCZOS)
            sheet.paste(small, (name_width + column * (side + margin), y))
    return np.asarray(sheet)


def _font(text: str, width: int, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The built-in font, as large as `size` or as lets the text fit the width."""
    font = ImageFont.load_default(size)
    while font.getlength(text) > width * 0.95 and size > 6:
        size -= 1
        font = ImageFont.load_default(size)
    return font
