"""Open a picture of unknown origin: which decoder may, whether it is whole, which way is up."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from pipeline.sample import Reject

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


@cache
def _prepare() -> None:
    """Decoders that Pillow does not have itself; its own pixel limit gives way to ours."""
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
    Pillow.MAX_IMAGE_PIXELS = None


def _unidentified(data: bytes, suffix: str) -> Reject:
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    page = head.lower().startswith((b"<!doctype html", b"<html"))
    if (
        head.startswith(NOT_OPENED)
        or (b"<svg" in head.lower() and not page)
        or data[4:6] in (b"\x11\xaf", b"\x12\xaf")
    ):
        return Reject("unsupported_format")
    if data.startswith(BEGINNINGS) or data[4:8] == b"ftyp" or suffix.lower() == ".tga":
        return Reject("corrupt", decoder="the header makes no sense")
    return Reject("not_an_image")
