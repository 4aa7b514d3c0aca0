"""Boxes, labels and contact sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

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
FONTS = tuple(  # where systems keep fonts
    map(Path, ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts", "C:/Windows/Fonts"))
)


@dataclass(frozen=True)
class Mark:
    """A text by a box (left, top, width, height) with numbered points; pixels of the picture."""

    text: str
    box: Sequence[int] | None = None
    points: Sequence[Sequence[int]] = ()


def marks(answers: Sequence[Answer], landmarks: bool) -> list[Mark]:
    """What is drawn for answers: label or reason, the crop's box (else the face's), landmarks."""
    return [
        Mark(
            answer.text,
            answer.facts.get("crop", answer.facts.get("face")),
            answer.facts.get("landmarks", ()) if landmarks else (),
        )
        for answer in answers
    ]


def enlarged(image: Image, marks: Sequence[Mark]) -> tuple[Image, list[Mark]]:
    """Picture and marks, both enlarged so far that texts and numbers can be read."""
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
    """A font that has the text's letters, as large as `size` or as lets it fit the width, and
    the text; letters that no font here has are spelled out.
    """
    file = _font_file(text)
    if file is None:
        text = text.encode("ascii", "backslashreplace").decode()
    font = _of_size(file, size)
    while font.getlength(text) > width * 0.95 and size > 6:
        size -= 1
        font = _of_size(file, size)
    return text, font


def _of_size(file: Path | None, size: int) -> Font:
    return ImageFont.truetype(str(file), size) if file else ImageFont.load_default(size)


def _font_file(text: str) -> Path | None:
    """The first font that has all letters of a text; None where it is the built-in one's job."""
    if text.isascii():
        return None
    return next((file for file in _fonts() if _has(file, text)), None)


@cache
def _fonts() -> tuple[Path, ...]:
    """Matplotlib's own font (most alphabets), then the system's."""
    spec = find_spec("matplotlib")
    assert spec is not None and spec.origin is not None, "it is installed with this program"
    own = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    system = (path for folder in FONTS for path in folder.rglob("*.[ot]t[fc]"))
    return own, *sorted(system)


def _has(file: Path, text: str) -> bool:
    from fontTools.ttLib import TTFont, TTLibError

    try:
        with TTFont(file, fontNumber=0, lazy=True) as font:
            letters = font.getBestCmap() or {}
    except (OSError, TTLibError):
        return False
    return all(ord(letter) in letters for letter in text)
