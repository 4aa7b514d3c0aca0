"""Open a picture of unknown origin: which decoder may, whether it is whole, which way is up."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from pipeline.sample import Image, Reject
from stages.formats import jpeg, memory, png

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
    b"P7\n", b"PF\n", b"\0\0\0\x0cJXL ",
)  # fmt: skip
BEGINNINGS = (
    b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",
    b"\x00\x00\x01\x00", b"\x00\x00\x00\x0cjP", b"\xff\x4f\xff\x51",
)  # fmt: skip
BRANDS = (
    b"avif", b"avis", b"heic", b"heim", b"heis", b"heix", b"hevc", b"hevm", b"hevx", b"mif1",
    b"msf1",
)  # fmt: skip
"""Still pictures among the files that begin as MP4 films do."""
ICON = b"\0\0\1\0"
COMPLAINTS = (
    *(OSError, ValueError, SyntaxError, RuntimeError, EOFError, TypeError, LookupError),
    *(ArithmeticError, struct.error, zlib.error),
)
"""What decoders raise over bytes they do not like; anything else is a fault of ours."""
_limit = threading.Lock()
ZEROS = 512  # bytes: no coder ends in so many; a download that stopped in a prepared file does


def open_header(data: bytes, suffix: str, most: float) -> Pillow.Image:
    """The picture these bytes claim to be; no pixel is decoded yet but those of icons, whose `most`
    number is checked here.

    Raises Reject: `empty`, `not_an_image`, `unsupported_format`, `truncated`, `corrupt`,
    `too_large`.
    """
    if not data:
        raise Reject("empty")
    _prepare()
    targa = suffix.lower() == ".tga" or data[-18:-2] == b"TRUEVISION-XFILE"
    decoders = (*DECODERS, "TGA") if targa else DECODERS
    with _decoding(data):
        try:
            return _open(_without_tail(data), decoders, most if data.startswith(ICON) else None)
        except Pillow.DecompressionBombError as error:
            raise Reject("too_large", decoder=str(error)) from None
        except (UnidentifiedImageError, ValueError) as error:
            if data.startswith(png.SIGNATURE):
                with suppress(UnidentifiedImageError):
                    return _open(png.wrap_anew(data), ("PNG",))
            if isinstance(error, UnidentifiedImageError):
                raise _unidentified(data, suffix) from None
            raise
        except OSError:
            if data[8:12] == b"WEBP" and (declared := memory.webp_pixels(data)) <= most:
                memory.make("WEBP", declared)
            raise


def _open(data: bytes, decoders: tuple[str, ...], most: float | None = None) -> Pillow.Image:
    """Pillow's own limit of pixels is a global of its module: it is set to `most` for so long."""
    with _limit:
        before = Pillow.MAX_IMAGE_PIXELS
        Pillow.MAX_IMAGE_PIXELS = None if most is None else int(most) // 2  # twice is refused
        try:
            return Pillow.open(io.BytesIO(data), formats=decoders)
        finally:
            Pillow.MAX_IMAGE_PIXELS = before


def _without_tail(data: bytes) -> bytes:
    """A JPEG without zeros or ones at its end: Pillow looks for the header in them byte by byte."""
    return data.rstrip(b"\0\xff") if data.startswith(jpeg.START) else data


def load(picture: Pillow.Image, data: bytes) -> Pillow.Image:
    """The picture with every pixel of its first frame decoded.

    Raises Reject: `truncated`, `corrupt`.
    """
    with _decoding(data):
        if picture.format in ("JPEG", "MPO") and picture.mode in jpeg.SPACES:
            return _load_jpeg(picture, data)
        if picture.format == "PNG":
            return _load_png(picture, data)
        try:
            picture.load()
        except COMPLAINTS:
            memory.make(picture.format or "", memory.pixels(picture))
            raise
        if picture.format in ("AVIF", "HEIF", "WEBP") and not any(data[-ZEROS:]):
            raise Reject("truncated", decoder="zeros in place of the end")
    return picture


def whole_jpeg(picture: Pillow.Image, data: bytes) -> tuple[bytes, Image | None]:
    """As jpeg.decode_whole. Raises Reject: `truncated`, `corrupt`."""
    with _decoding(data):
        return jpeg.decode_whole(data, picture.mode)


def _load_jpeg(picture: Pillow.Image, data: bytes) -> Pillow.Image:
    whole, pixels = jpeg.decode_whole(data, picture.mode)
    if pixels is None or picture.mode == "CMYK":  # Pillow knows when these are inverted
        loaded = _open(whole, ("JPEG",))
        loaded.load()
    else:
        loaded = Pillow.fromarray(pixels[:, :, 0] if picture.mode == "L" else pixels)
    loaded.info.update(picture.info)
    return loaded


def _load_png(picture: Pillow.Image, data: bytes) -> Pillow.Image:
    """Loads and checks; where checksums are wrong, only those of the pixels count."""
    try:
        _open(data, ("PNG",)).verify()  # load() lets wrong ones pass
        picture.load()
    except COMPLAINTS:
        data = png.wrap_anew(data)
        if not png.has_all_rows(data):
            raise
        picture = _open(data, ("PNG",))
        picture.load()
    if _ends_black(picture) and not png.has_all_rows(data):
        raise Reject("truncated", decoder="rows are missing")
    return picture


def _ends_black(picture: Pillow.Image) -> bool:
    """Whether one of the last two rows is all zeros, as rows are that were never decoded."""
    last = range(max(0, picture.height - 2), picture.height)
    rows = (picture.crop((0, row, picture.width, row + 1)) for row in last)
    return not all(row.getbbox(alpha_only=False) for row in rows)


@contextmanager
def _decoding(data: bytes) -> Iterator[None]:
    """What a decoder stumbles over in here is about these bytes, or about want of memory."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except COMPLAINTS as error:
        if memory.lacked(error):
            raise MemoryError(str(error)) from error
        raise _damaged(error, data) from error


def _damaged(error: Exception, data: bytes) -> Reject:
    """The reason for a decoder's complaint, with its words."""
    words = f"{type(error).__name__}: {error}"[:200]
    signs = ("truncated", "not enough", "end of file", "premature end of jpeg file")
    ends_early = isinstance(error, EOFError) or any(sign in words.lower() for sign in signs)
    if ends_early or _is_cut_short(data):
        return Reject("truncated", decoder=words)
    return Reject("corrupt", decoder=words)


def _is_cut_short(data: bytes) -> bool:
    """Whether the file is shorter than its own table of contents says."""
    if data[:4] == b"RIFF":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big") >= len(data)
    place = 0
    if data[4:8] in (b"ftyp", b"jP  "):
        while place < len(data):
            size = int.from_bytes(data[place : place + 4])
            if size == 1:  # the length follows in eight bytes
                size = int.from_bytes(data[place + 8 : place + 16])
            place += size if size >= 8 else len(data)  # 0: to the end
    return place > len(data)


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
    """Decoders that Pillow does not have itself."""
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)


def _unidentified(data: bytes, suffix: str) -> Reject:
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.lower().startswith((b"<!doctype html", b"<html")):
        return Reject("not_an_image")
    if (
        data.startswith(NOT_OPENED)
        or head.startswith(NOT_OPENED)
        or b"<svg" in head.lower()
        or data[4:6] in (b"\x11\xaf", b"\x12\xaf")
        or data[40:44] == b" EMF"
        or data[4:12] == b"ftypcrx "
    ):
        return Reject("unsupported_format")
    container = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    container |= data[4:8] == b"ftyp" and data[8:12] in BRANDS
    if container or data.startswith(BEGINNINGS) or suffix.lower() == ".tga":
        return _damaged(ValueError("the header makes no sense"), data)
    return Reject("not_an_image")
