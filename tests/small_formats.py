"""A picture in every format people have, each with the pixels it must come out with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image as Pillow
from small_files import saved

from pipeline.pictures import decode, encode
from pipeline.sample import Image, Sample
from stages.normalize import Normalize

pillow_heif.register_heif_opener(thumbnails=False)

ROWS, COLUMNS = np.mgrid[0:96, 0:128]
GREY: Image = (COLUMNS * 255 // 127).astype(np.uint8)
RGB: Image = np.dstack(
    [COLUMNS * 255 // 127, ROWS * 255 // 95, 255 - (ROWS + COLUMNS) * 255 // 222]
).astype(np.uint8)
ALPHA: Image = (ROWS * 255 // 95).astype(np.uint8)
PICTURE = Pillow.fromarray(RGB)
Made = tuple[bytes, Image]


def written(suffix: str, values: NDArray[Any]) -> bytes:
    """Encoded by OpenCV, which writes depths that Pillow cannot; channels in its own order."""
    done, data = cv2.imencode(suffix, values)
    assert done
    return bytes(data)


def grey(values: NDArray[Any]) -> Image:
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


def on_white(rgb: Image, alpha: Image) -> Image:
    share = alpha[:, :, None] / 255
    return np.asarray(np.rint(rgb * share + 255 * (1 - share)), dtype=np.uint8)


def plain(form: str, **options: Any) -> Callable[[], Made]:
    return lambda: (saved(PICTURE, form, **options), RGB)


def as_mode(mode: str, form: str, **options: Any) -> Callable[[], Made]:
    picture = PICTURE.convert(mode)
    return lambda: (saved(picture, form, **options), np.asarray(picture.convert("RGB")))


def deep(values: NDArray[Any], form: str, expected: NDArray[Any]) -> Callable[[], Made]:
    return lambda: (saved(Pillow.fromarray(values), form), grey(expected))


def many(form: str, **options: Any) -> Callable[[], Made]:
    """Several pictures of a size in one file: the first counts."""
    others = [Pillow.fromarray(255 - RGB), Pillow.fromarray(RGB[::-1].copy())]
    return plain(form, save_all=True, append_images=others, **options)


def animation() -> Made:
    first = PICTURE.quantize(64)
    other = Pillow.fromarray(255 - RGB).quantize(64)
    data = saved(first, "GIF", save_all=True, append_images=[other], duration=50, loop=0)
    return data, np.asarray(first.convert("RGB"))


def translucent(form: str, **options: Any) -> Callable[[], Made]:
    picture = PICTURE.copy()
    picture.putalpha(Pillow.fromarray(ALPHA))
    return lambda: (saved(picture, form, **options), on_white(RGB, ALPHA))


def translucent_grey() -> Made:
    picture = Pillow.merge("LA", (Pillow.fromarray(GREY), Pillow.fromarray(ALPHA)))
    return saved(picture, "PNG"), on_white(grey(GREY), ALPHA)


def keyed_palette() -> Made:
    """One palette entry is transparent: white in its place."""
    picture = PICTURE.quantize(16)
    expected = np.asarray(picture.convert("RGB")).copy()
    expected[np.asarray(picture) == 3] = 255
    return saved(picture, "PNG", transparency=3), expected


def bgr(depth: int) -> NDArray[Any]:
    return (RGB[:, :, ::-1].astype(np.uint16) * 257) if depth == 16 else RGB[:, :, ::-1]


FORMATS: dict[str, tuple[Callable[[], Made], int]] = {
    "JPEG baseline": (plain("JPEG", quality=95, subsampling=0), 6),
    "JPEG progressive": (plain("JPEG", quality=95, subsampling=0, progressive=True), 6),
    "JPEG grey": (as_mode("L", "JPEG", quality=95), 4),
    "JPEG CMYK": (as_mode("CMYK", "JPEG", quality=95), 10),
    "PNG": (plain("PNG"), 5),
    "PNG palette": (as_mode("P", "PNG"), 110),
    "PNG palette with a transparent entry": (keyed_palette, 110),
    "PNG 1-bit": (as_mode("1", "PNG"), 110),
    "PNG RGBA": (translucent("PNG"), 6),
    "PNG grey with alpha": (translucent_grey, 5),
    "PNG 16-bit grey": (deep(GREY.astype(np.uint16) * 257, "PNG", GREY), 4),
    "PNG 16-bit dim grey": (deep(GREY.astype(np.uint16) * 100, "PNG", GREY * 100.0 / 257), 4),
    "PNG 16-bit colour": (lambda: (written(".png", bgr(16)), RGB), 5),
    "WebP": (plain("WEBP", quality=95), 14),
    "WebP lossless": (plain("WEBP", lossless=True), 5),
    "WebP with alpha": (translucent("WEBP", lossless=True, exact=True), 6),
    "AVIF": (plain("AVIF", quality=95), 14),
    "HEIC": (plain("HEIF", quality=95), 14),
    "GIF animation": (animation, 110),
    "TIFF": (plain("TIFF"), 5),
    "TIFF LZW": (plain("TIFF", compression="tiff_lzw"), 5),
    "TIFF of several pages": (many("TIFF"), 5),
    "TIFF CMYK": (as_mode("CMYK", "TIFF"), 5),
    "TIFF 16-bit grey": (deep(GREY.astype(np.uint16) * 257, "TIFF", GREY), 4),
    "TIFF 16-bit colour": (lambda: (written(".tiff", bgr(16)), RGB), 5),
    "TIFF float, 0 to 1": (deep((GREY / 255).astype(np.float32), "TIFF", GREY), 4),
    "TIFF float, 0 to 255": (deep(GREY.astype(np.float32), "TIFF", GREY), 4),
    "TIFF 32-bit grey": (deep(GREY.astype(np.int32) * 1000, "TIFF", GREY), 4),
    "BMP": (plain("BMP"), 5),
    "MPO": (many("MPO", quality=95, subsampling=0), 8),
    "JPEG 2000": (plain("JPEG2000"), 5),
    "ICO": (plain("ICO", sizes=[(128, 96)]), 5),
    "PPM": (plain("PPM"), 5),
    "PGM": (as_mode("L", "PPM"), 4),
    "PGM 16-bit": (lambda: (written(".pgm", GREY.astype(np.uint16) * 257), grey(GREY)), 4),
    "TGA": (plain("TGA"), 5),
    "TGA compressed": (plain("TGA", compression="tga_rle"), 5),
}


def normalized(folder: Path, name: str, data: bytes) -> Image:
    """What a reader of the stage's output sees."""
    file = folder / name
    file.write_bytes(data)
    result = Normalize()(Sample(f"smile/{name}", "smile", file))
    return decode(result.encoded if result.encoded is not None else encode(result.image))


def difference(seen: Image, expected: Image) -> tuple[float, int]:
    """Mean and largest difference of two pictures of the same shape."""
    assert seen.shape == expected.shape
    apart = np.abs(seen.astype(int) - expected)
    return float(apart.mean()), int(apart.max())
