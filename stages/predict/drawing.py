"""Boxes, labels and contact sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from pipeline.sample import Image
from stages.predict.answers import Answer

BOX = (0, 230, 118)
PAPER = (255, 255, 255)
INK = (20, 20, 20)
POINT = (255, 214, 10)
READABLE = 240  # pixels of a picture's short side that a text can be read on
NUMBERED = 480  # pixels of a face's width that 68 numbers can be told apart on


@dataclass(frozen=True)
class Mark:
    """A text by a box (left, top, width, height) with numbered points; pixels of the picture."""

    text: str
    box: Sequence[int] | None = None
    points: Sequence[Sequence[int]] = ()


def marks(answers: Sequence[Answer], landmarks: bool) -> list[Mark]:
    """A mark for each answer: label or reason, the crop's box (else the face's), landmarks."""
    return [
        Mark(
            answer.text,
            answer.facts.get("crop", answer.facts.get("face")),
            answer.facts.get("landmarks", answer.facts.get("lips", ())) if landmarks else (),
        )
        for answer in answers
    ]


def enlarged(image: Image, marks: Sequence[Mark]) -> tuple[Image, list[Mark]]:
    """Picture and marks, both enlarged by a whole number so that texts can be read."""
    height, width = image.shape[:2]
    times = max(1, -(-READABLE // min(height, width)))
    for mark in marks:
        if mark.points:
            across = max(x for x, _ in mark.points) - min(x for x, _ in mark.points)
            times = max(times, min(4, -(-NUMBERED // max(1, across))))
    times = min(times, max(1, 4096 // max(height, width)))
    picture = Pillow.fromarray(image).resize((width * times, height * times))
    return np.asarray(picture), [
        replace(
            mark,
            box=mark.box and [value * times for value in mark.box],
            points=[[value * times for value in point] for point in mark.points],
        )
        for mark in marks
    ]


def annotated(image: Image, marks: Sequence[Mark]) -> Image:
    """A copy of an H×W×3 uint8 picture with boxes, texts and points.

    A text stands above its box, below it where there is no room, in the upper left corner where
    there is no box; it never leaves the picture.
    """
    picture = Pillow.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for mark in marks:
        _draw_points(draw, mark.points)
        _draw_text(draw, mark, *picture.size)
    return np.asarray(picture)


def _draw_text(draw: ImageDraw.ImageDraw, mark: Mark, width: int, height: int) -> None:
    line = max(2, min(width, height) // 200)
    text, font = _font(mark.text, width, max(12, min(width, height) // 20))
    _, _, right, bottom = (int(edge) for edge in draw.textbbox((0, 0), text, font=font))
    tall, wide = bottom + 2 * line, right + 2 * line
    x, y = 0, 0
    if mark.box is not None:
        left, top, box_width, box_height = mark.box
        draw.rectangle((left, top, left + box_width, top + box_height), outline=BOX, width=line)
        y = top - tall if top >= tall else min(top + box_height, height - tall)
        x = min(max(0, left), max(0, width - wide))
    draw.rectangle((x, y, x + wide, y + tall), fill=BOX)
    draw.text((x + line, y + line // 2), text, font=font, fill=INK)


def _draw_points(draw: ImageDraw.ImageDraw, points: Sequence[Sequence[int]]) -> None:
    """Points with their numbers, as large as the face lets them be."""
    if not points:
        return
    across = max(x for x, _ in points) - min(x for x, _ in points)
    size = max(7, across // 45)
    font = ImageFont.load_default(size)
    dot = max(1, size // 5)
    for number, (x, y) in enumerate(points):
        draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=POINT, outline=INK)
        draw.text((x + dot + 1, y), str(number), POINT, font, "lm", stroke_width=1, stroke_fill=INK)


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


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=256)
def _font(text: str, width: int, size: int) -> tuple[str, Font]:
    """The text, and a font of at most `size` in which it fits the width.

    Letters that no font here has are spelled out.
    """
    file = _font_file(text)
    if file is None:
        text = text.encode("ascii", "backslashreplace").decode()
    font = _of_size(file, size)
    while font.getlength(text) > width * 0.95 and size > 6:
        size -= 1
        font = _of_size(file, size)
    return text, font


def _of_size(file: str | None, size: int) -> Font:
    return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)


def _font_file(text: str) -> str | None:
    """The first font that has all letters of a text; None: the built-in one has, or none has."""
    if text.isascii():
        return None
    letters = set(map(ord, text))
    return next((file for file in _fonts() if letters <= _letters(file)), None)


@cache
def _fonts() -> list[str]:
    """Files of Matplotlib's own font (most alphabets), then of the system's fonts."""
    from matplotlib.font_manager import findfont, fontManager

    own = findfont("DejaVu Sans")
    return [own, *sorted({entry.fname for entry in fontManager.ttflist} - {own})]


@cache
def _letters(file: str) -> frozenset[int]:
    """Unicode numbers of the letters that a font has; none where the file cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
