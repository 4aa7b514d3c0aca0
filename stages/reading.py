"""Read a picture of unknown origin: which decoder, whether it is whole, how it becomes RGB."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, UnidentifiedImageError

from pipeline.sample import Image, Reject

# Decoders that work inside this process on nothing but the bytes given to them. Never EPS, PDF or
# WMF, which start other programs; a format is added here only if it does neither that nor follow
# references to other files.
DECODERS = (
    "AVIF", "BMP", "DIB", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP",
)  # fmt: skip

# How files begin that are pictures (or hold some) but are not opened. Sources: the formats' own
# specifications, as collected in the `file` utility's magic database.
NOT_OPENED = (
    b"%!PS", b"\xc5\xd0\xd3\xc6", b"%PDF", b"8BPS", b"\xd7\xcd\xc6\x9a", b"<svg", b"icns", b"qoif",
    b"DDS ", b"SIMPLE  =", b"gimp xcf", b"/* XPM */", b"#define ", b"\x01\xda", b"\x0a\x05\x01",
    b"v/1\x01", b"#?RADIANCE", b"\x59\xa6\x6a\x95", b"BLP1", b"BLP2", b"FTEX", b"\x00\x00\x02\x00",
    b"\x01\x00\x09\x00", b"DanM", b"LinS", b"\xb1\x68\xde\x3a", b"\xff\x0a", b"FLIF", b"BPG\xfb",
)  # fmt: skip
BEGINNINGS = (
    b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"RIFF",
    b"\x00\x00\x01\x00", b"\x00\x00\x00\x0cjP", b"\xff\x4f\xff\x51",
)  # fmt: skip


def open_header(data: bytes, suffix: str) -> Pillow.Image:
    """The picture these bytes claim to be; no pixel is decoded yet.

    Raises Reject: `empty`, `not_an_image`, `unsupported_format`, `truncated`, `corrupt`.
    """
    if not data:
        raise Reject("empty")
    _prepare()
    targa = suffix.lower() == ".tga" or data[-18:-2] == b"TRUEVISION-XFILE"
    decoders = (*DECODERS, "TGA") if targa else DECODERS
    with _decoding(data):
        try:
            picture = Pillow.open(io.BytesIO(data), formats=decoders)
        except UnidentifiedImageError:
            raise _unidentified(data, suffix) from None
        if picture.format == "PNG":  # load() passes over wrong checksums, verify() does not
            Pillow.open(io.BytesIO(data), formats=("PNG",)).verify()
    return picture


def load(picture: Pillow.Image, data: bytes) -> None:
    """Decode every pixel of the first frame. Raises Reject: `truncated`, `corrupt`."""
    with _decoding(data):
        picture.load()


@contextmanager
def _decoding(data: bytes) -> Iterator[None]:
    """Whatever a decoder stumbles over in here is about these bytes, and nothing else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (Reject, MemoryError):
        raise
    except Exception as error:
        raise _damaged(error, data) from error


def _damaged(error: Exception, data: bytes) -> Reject:
    """The reason for a decoder's complaint, with its words."""
    words = f"{type(error).__name__}: {error}"[:200]
    signs = ("truncated", "not enough", "end of file", "premature")
    short_riff = data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") + 8 > len(data)
    ends_early = isinstance(error, EOFError) or any(sign in words.lower() for sign in signs)
    return Reject("truncated" if ends_early or short_riff else "corrupt", decoder=words)


def orientation(picture: Pillow.Image) -> int | None:
    """EXIF orientation 1 to 8 of a loaded picture; None where the EXIF data cannot be read.

    Decoders that turn the picture themselves (TIFF, HEIF) have taken the tag out by then.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exif = picture.getexif()
            if picture.info.get("exif"):
                Pillow.Exif().load(picture.info["exif"])
            value = exif.get(0x0112, 1)
    except Exception:  # malformed EXIF raises nearly anything; the picture itself is fine
        return None
    return value if value in range(1, 9) else None if value else 1


def upright(picture: Pillow.Image, turn: int | None) -> Pillow.Image:
    """Rotated and mirrored as its EXIF orientation asks."""
    ways = {
        2: Pillow.Transpose.FLIP_LEFT_RIGHT,
        3: Pillow.Transpose.ROTATE_180,
        4: Pillow.Transpose.FLIP_TOP_BOTTOM,
        5: Pillow.Transpose.TRANSPOSE,
        6: Pillow.Transpose.ROTATE_270,
        7: Pillow.Transpose.TRANSVERSE,
        8: Pillow.Transpose.ROTATE_90,
    }
    return picture.transpose(ways[turn]) if turn in ways else picture


def is_srgb(picture: Pillow.Image) -> bool:
    """Whether the colours are sRGB: no profile, or one that changes nothing one could see."""
    profile = picture.info.get("icc_profile")
    return not profile or _changes_little(profile)


@lru_cache(maxsize=64)
def _changes_little(profile: bytes) -> bool:
    """Whether a profile takes a cube of colours to sRGB within two grey levels."""
    steps = np.linspace(0, 255, 6).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(6, 36, 3)
    picture = Pillow.fromarray(cube)
    picture.info["icc_profile"] = profile
    converted, how = _from_profile(picture)
    moved = np.abs(np.asarray(converted).astype(int) - cube).max()
    return how == "converted" and bool(moved <= 2)


def to_rgb(picture: Pillow.Image) -> tuple[Image, dict[str, Any]]:
    """H×W×3 uint8 sRGB, and what had to be noted on the way.

    Transparency lies on white; 16-bit and floating-point grey is scaled by its range.
    """
    facts: dict[str, Any] = {}
    if picture.mode.startswith("I") or picture.mode == "F":
        return _deep_grey(picture), facts
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if not is_srgb(picture) and picture.mode in ("RGB", "RGBA", "CMYK", "L", "LAB"):
        picture, facts["icc"] = _from_profile(picture)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        picture = picture.convert("RGBA")
        white = Pillow.new("RGBA", picture.size, "white")
        picture = Pillow.alpha_composite(white, picture)
    return np.asarray(picture.convert("RGB")), facts


def _deep_grey(picture: Pillow.Image) -> Image:
    values = np.asarray(picture).astype(np.float32)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    if picture.mode.startswith("I;16") or picture.format == "PPM":  # 0 to 65,535
        values /= 257.0
    elif values.min() < 0 or values.max() > 255:
        low, high = float(values.min()), float(values.max())
        values = (values - low) * (255.0 / max(high - low, 1e-9))
    elif picture.mode == "F" and values.max() <= 1:
        values *= 255.0
    grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _from_profile(picture: Pillow.Image) -> tuple[Pillow.Image, str]:
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
    source = picture.convert("RGB") if alpha else picture
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
        converted = ImageCms.profileToProfile(source, profile, _srgb(), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture, "unusable"
    assert converted is not None
    if alpha:
        converted.putalpha(alpha)
    return converted, "converted"


@cache
def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")


@cache
def _prepare() -> None:
    """Decoders that Pillow does not have itself; its own pixel limit gives way to ours."""
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
    Pillow.MAX_IMAGE_PIXELS = None


def _unidentified(data: bytes, suffix: str) -> Reject:
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if (
        head.startswith(NOT_OPENED)
        or b"<svg" in head.lower()
        or data[4:6] in (b"\x11\xaf", b"\x12\xaf")
    ):
        return Reject("unsupported_format")
    if data.startswith(BEGINNINGS) or data[4:8] == b"ftyp" or suffix.lower() == ".tga":
        return Reject("corrupt", decoder="the header makes no sense")
    return Reject("not_an_image")
