"""Pixels of any picture as upright sRGB, converted in strips: large pictures need little memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms

from pipeline.sample import Image
from stages.formats import depth

STRIP = 256  # rows
ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def to_rgb(picture: Pillow.Image) -> tuple[Image, dict[str, Any]]:
    """H×W×3 uint8 sRGB of a loaded picture, and the fact `icc` where its profile matters.

    Transparent pixels become white. Grey of 16 bits or floating point is scaled by its range.
    """
    convert, facts = _converter(picture)
    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    for top, strip in _strips(picture):
        pixels[top : top + strip.height] = convert(strip)
    return pixels, facts


def upright(pixels: Image, orientation: int | None) -> Image:
    """H×W×3 pixels turned and mirrored by an EXIF orientation, 1 to 8 (None: unchanged)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def is_srgb(picture: Pillow.Image) -> bool:
    """Whether the colours are sRGB: no profile, or one that nobody could tell from it."""
    profile = picture.info.get("icc_profile")
    return not profile or _changes_little(profile)


@lru_cache(maxsize=64)
def _changes_little(profile: bytes) -> bool:
    """Whether a profile takes a cube of colours to sRGB within two grey levels."""
    steps = np.linspace(0, 255, 6).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(6, 36, 3)
    transform = _transform(profile, "RGB")
    if transform is None:
        return False
    converted = ImageCms.applyTransform(Pillow.fromarray(cube), transform)
    return bool(np.abs(np.asarray(converted).astype(int) - cube).max() <= 2)


def _strips(picture: Pillow.Image) -> Iterator[tuple[int, Pillow.Image]]:
    for top in range(0, picture.height, STRIP):
        bottom = min(top + STRIP, picture.height)
        yield top, picture.crop((0, top, picture.width, bottom))


def _converter(picture: Pillow.Image) -> tuple[Callable[[Pillow.Image], Image], dict[str, Any]]:
    """The function that makes sRGB of a strip of this picture, and the facts to add."""
    if picture.mode.startswith("I") or picture.mode == "F":
        low, high = _range(picture)
        return lambda strip: _scaled(strip, low, high), {}
    alpha = _is_transparent(picture)
    if is_srgb(picture) or picture.mode not in ("RGB", "RGBA", "CMYK", "L", "LAB", "P"):
        return lambda strip: _flat(strip, None, alpha), {}
    mode = "RGB" if alpha or picture.mode == "P" else picture.mode
    transform = _transform(picture.info["icc_profile"], mode)
    noted = {"icc": "converted" if transform else "unusable"}
    return lambda strip: _flat(strip, transform, alpha), noted


def _is_transparent(picture: Pillow.Image) -> bool:
    """Whether transparency counts. A BMP or TGA with none at all has a spare byte there instead."""
    if picture.format in ("BMP", "DIB", "TGA") and picture.mode == "RGBA":
        return picture.getchannel("A").getextrema() != (0, 0)
    return picture.mode in ALPHA or "transparency" in picture.info


def _flat(strip: Pillow.Image, transform: Any, alpha: bool) -> Image:
    """H×W×3 uint8: colours converted by the profile, transparent pixels white."""
    mask = strip.convert("RGBA").getchannel("A") if alpha else None
    if alpha or strip.mode == "P":
        strip = strip.convert("RGBA").convert("RGB")
    if transform is not None:
        converted = ImageCms.applyTransform(strip, transform)
        assert converted is not None, "it is None only where the strip is changed in place"
        strip = converted
    if mask is not None:
        white = Pillow.new("RGB", strip.size, "white")
        white.paste(strip, mask=mask)
        strip = white
    return np.asarray(strip.convert("RGB"))


def _range(picture: Pillow.Image) -> tuple[float, float]:
    """The values that become black and white."""
    low, high = np.inf, -np.inf
    for _, strip in _strips(picture):
        values = _finite(strip)
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if picture.mode.startswith("I;16") or picture.format == "PPM":
        return 0.0, depth.white(high)
    if low >= 0 and high <= 255:
        return 0.0, 1.0 if picture.mode == "F" and high <= 1 else 255.0
    return low, high


def _finite(strip: Pillow.Image) -> np.ndarray[Any, np.dtype[np.float64]]:
    with np.errstate(invalid="ignore"):  # signalling NaNs complain of being copied
        values = np.asarray(strip).astype(np.float64)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _scaled(strip: Pillow.Image, low: float, high: float) -> Image:
    grey = np.rint((_finite(strip) - low) * (255.0 / max(high - low, 1e-9)))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _transform(profile: bytes, mode: str) -> Any:
    """From a profile to sRGB; None where the profile cannot be used for this mode."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, _srgb(), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@cache
def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")
