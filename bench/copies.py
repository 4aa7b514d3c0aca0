"""What happens to a photograph on its way through the web: the changes that copies come with."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image as Pillow
from PIL import ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Picture = Pillow.Image


def _scaled(share: float) -> Callable[[Picture], Picture]:
    def scaled(picture: Picture) -> Picture:
        return picture.resize([max(1, round(side * share)) for side in picture.size])

    return scaled


def _jpeg(quality: int) -> Callable[[Picture], Picture]:
    def compressed(picture: Picture) -> Picture:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        return Pillow.open(buffer).convert("RGB")

    return compressed


def _cropped(left: float, top: float, right: float, bottom: float) -> Callable[[Picture], Picture]:
    def cropped(picture: Picture) -> Picture:
        width, height = picture.size
        edges = (width * left, height * top, width * (1 - right), height * (1 - bottom))
        first, second, third, fourth = map(round, edges)
        return picture.crop((first, second, third, fourth))

    return cropped


def _bordered(share: float) -> Callable[[Picture], Picture]:
    return lambda picture: ImageOps.expand(picture, round(picture.width * share), "white")


def _watermarked(picture: Picture) -> Picture:
    """A half transparent line of text across the middle."""
    marked = picture.copy()
    draw = ImageDraw.Draw(marked, "RGBA")
    place = (marked.width * 0.2, marked.height * 0.45)
    font = ImageFont.load_default(marked.width / 9)
    draw.text(place, "© example.com", fill=(255, 255, 255, 120), font=font)
    return marked


def _with_logo(picture: Picture) -> Picture:
    """A white box in the lower right corner, 28% by 10% of the picture."""
    marked = picture.copy()
    width, height = marked.size
    box = (width * 0.7, height * 0.88, width * 0.98, height * 0.98)
    ImageDraw.Draw(marked).rectangle(box, fill=(250, 250, 250))
    return marked


def _brightened(factor: float) -> Callable[[Picture], Picture]:
    return lambda picture: ImageEnhance.Brightness(picture).enhance(factor)


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "half the size": _scaled(0.5),
    "a quarter of the size": _scaled(0.25),
    "JPEG quality 30": _jpeg(30),
    "JPEG quality 10": _jpeg(10),
    "half the size, JPEG 40": lambda picture: _jpeg(40)(_scaled(0.5)(picture)),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "brighter by 20%": _brightened(1.2),
    "darker by 20%": _brightened(0.8),
    "contrast up by 20%": lambda picture: ImageEnhance.Contrast(picture).enhance(1.2),
    "softened": lambda picture: picture.filter(ImageFilter.GaussianBlur(picture.width / 200)),
    "mirrored": ImageOps.mirror,
    "mirrored, JPEG 40": lambda picture: _jpeg(40)(ImageOps.mirror(picture)),
    "cropped by 2%": _cropped(0.02, 0.02, 0.02, 0.02),
    "cropped by 4%": _cropped(0.04, 0.04, 0.04, 0.04),
    "cropped by 7%": _cropped(0.07, 0.07, 0.07, 0.07),
    "cropped by 10%": _cropped(0.1, 0.1, 0.1, 0.1),
    "10% off one side": _cropped(0, 0, 0.1, 0),
    "border of 5%": _bordered(0.05),
    "border of 10%": _bordered(0.1),
    "watermark": _watermarked,
    "logo box": _with_logo,
    "turned by 2°": lambda picture: picture.rotate(2, Pillow.Resampling.BICUBIC),
}
"""What a copy went through, by name."""
