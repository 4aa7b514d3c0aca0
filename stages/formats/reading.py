"""Open a picture of unknown origin: which decoder may, whether it is whole, which way is up."""

from __future__ import annotations

import io
import threading
from contextlib import suppress
from functools import cache

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from pipeline.sample import Image, Reject
from stages.formats import damage, depth, frames, jpeg, memory, png, signatures
from stages.formats.quiet import warnings_of_this_thread

DECODERS = (
    *("AVIF", "BMP", "DIB", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF"),
    "WEBP",
)
"""Pillow's names of the decoders that are used. They work inside this process, on the bytes alone.

EPS, PDF and WMF are left out because they start other programs. A decoder is added here only if it
does not, and follows no references to other files.
"""
LONGEST_SIDE = 65_500  # pixels, of the JPEGs that libjpeg reads and writes
ICON = b"\0\0\1\0"
ZEROS = 512  # bytes: no coder ends in so many; a download that stopped in a prepared file does
_limit = threading.Lock()


def open_header(data: bytes, suffix: str, most: float) -> Pillow.Image:
    """The picture that these bytes claim to be, at its largest page. Only icons are decoded here.

    Raises Reject: `empty`, `not_an_image`, `unsupported_format`, `truncated`, `corrupt`, and
    `too_large` for more than `most` pixels or for a side that no JPEG holds.
    """
    if not data:
        raise Reject("empty")
    _prepare()
    if signatures.is_webp(data):  # Pillow claims the memory of all its pixels to open it
        declared = memory.webp_pixels(data)
        _check_size(declared, most)
        memory.check("WEBP", declared)
    with damage.decoding(data):
        picture = _identify(data, suffix, most)
        if picture.format == "TIFF" and (page := frames.largest_page(_open(data, ("TIFF",)))):
            picture.seek(page)
        if frames.is_thumbnail_of_raw(picture):
            raise Reject("unsupported_format", format="camera raw")
    _check_size(memory.pixels(picture), most)
    if max(picture.size) > LONGEST_SIDE:
        raise Reject("too_large", side=max(picture.size))
    return picture


def _identify(data: bytes, suffix: str, most: float) -> Pillow.Image:
    """The picture as the decoder opens it that knows these bytes. Raises Reject."""
    targa = suffix.lower() == ".tga" or data[-18:-2] == b"TRUEVISION-XFILE"
    decoders = (*DECODERS, "TGA") if targa else DECODERS
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
        if signatures.is_webp(data):
            memory.claim("WEBP", memory.webp_pixels(data))
        raise


def _check_size(count: int, most: float) -> None:
    if count > most:
        raise Reject("too_large", megapixels=round(count / 1e6, 1))


def _open(data: bytes, decoders: tuple[str, ...], most: float | None = None) -> Pillow.Image:
    """Open with these decoders; meanwhile Pillow's limit of pixels, a global of it, is `most`."""
    with _limit:
        before = Pillow.MAX_IMAGE_PIXELS
        Pillow.MAX_IMAGE_PIXELS = None if most is None else int(most) // 2  # twice is refused
        try:
            return Pillow.open(io.BytesIO(data), formats=decoders)
        finally:
            Pillow.MAX_IMAGE_PIXELS = before


def _without_tail(data: bytes) -> bytes:
    """A JPEG without filling at its end, in which Pillow would look for a header byte by byte."""
    return data.rstrip(b"\0\xff") if data.startswith(jpeg.START) else data


def load(picture: Pillow.Image, data: bytes) -> Pillow.Image:
    """The picture with every pixel of its first frame decoded.

    Raises Reject: `truncated`, `corrupt`, `too_large` (where no worker has the memory for it).
    """
    count, form = memory.pixels(picture), picture.format or ""
    memory.check(form, count)
    deep = depth.is_16_bit_colour(picture)
    with damage.decoding(data):
        if form in ("JPEG", "MPO") and picture.mode in jpeg.SPACES:
            return _load_jpeg(picture, data)
        if form == "PNG":
            picture = _load_png(picture, data)
            return depth.brightened(picture, data) if deep else picture
        try:
            picture.load()
        except damage.COMPLAINTS:
            memory.claim(form, count)
            raise
        if form in ("AVIF", "HEIF", "WEBP") and not any(data[-ZEROS:]):
            raise Reject("truncated", decoder="zeros in place of the end")
        return depth.brightened(picture, data) if deep else picture


def whole_jpeg(picture: Pillow.Image, data: bytes) -> tuple[bytes, Image | None]:
    """As jpeg.decode_whole, but raises Reject: `truncated`, `corrupt`."""
    with damage.decoding(data):
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
    """The picture decoded and checked. Only the checksums of chunks with pixels count."""
    try:
        _open(data, ("PNG",)).verify()  # load() lets wrong ones pass
        picture.load()
    except damage.COMPLAINTS:
        data = png.wrap_anew(data)
        if not png.has_all_rows(data):
            raise
        picture = _open(data, ("PNG",))
        picture.load()
    if _ends_black(picture) and not png.has_all_rows(data):
        raise Reject("truncated", decoder="rows are missing")
    return picture


def _ends_black(picture: Pillow.Image) -> bool:
    """Whether one of the last two rows is all zeros: Pillow leaves rows so that are missing."""
    last = range(max(0, picture.height - 2), picture.height)
    rows = (picture.crop((0, row, picture.width, row + 1)) for row in last)
    return not all(row.getbbox(alpha_only=False) for row in rows)


def orientation(picture: Pillow.Image) -> int | None:
    """EXIF orientation 1 to 8 of a loaded picture; None where the EXIF data cannot be read.

    Decoders that turn the picture themselves (TIFF, HEIF) have taken the tag out by then.
    """
    try:
        with warnings_of_this_thread() as warned:
            exif = picture.getexif()
            if picture.info.get("exif"):
                Pillow.Exif().load(picture.info["exif"])
            value = exif.get(0x0112, 1)
    except Exception:  # malformed EXIF raises nearly anything; the picture itself is fine
        return None
    if warned:
        return None
    if not value:
        return 1
    return value if value in range(1, 9) else None


@cache
def _prepare() -> None:
    """Register the decoders that Pillow itself lacks."""
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)


def _unidentified(data: bytes, suffix: str) -> Reject:
    """The reason for bytes that no decoder takes."""
    if signatures.is_web_page(data):
        return Reject("not_an_image")
    if name := signatures.never_opened(data):
        return Reject("unsupported_format", format=name)
    if signatures.is_opened(data) or suffix.lower() == ".tga":
        return damage.verdict("the header makes no sense", data)
    return Reject("not_an_image")
