"""Normalize: what it keeps, what it turns upright, and what it rejects for which reason."""

from __future__ import annotations

import os
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image as Pillow
from small_files import NOISE, PICTURE, RGB, normalize, png_chunk, reason, saved, with_exif

from pipeline.pictures import decode
from pipeline.sample import Reject, Sample
from stages.normalize import Normalize

pillow_heif.register_heif_opener(thumbnails=False)

ROOT = Path(__file__).parent.parent.parent
HOSTILE = ROOT.parent / "shared" / "hostile"
Turn = Pillow.Transpose
LAID_DOWN = {  # how an upright picture is stored for its orientation tag to turn it up again
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_90,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_270,
}


def laid_down(turn: int, form: str) -> bytes:
    stored = PICTURE.transpose(LAID_DOWN[turn]) if turn in LAID_DOWN else PICTURE
    exif = Pillow.Exif()
    exif[0x0112] = turn
    if form == "TIFF":
        return saved(stored, form, tiffinfo={0x0112: turn})
    return saved(stored, form, exif=exif.tobytes(), quality=95)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_plain_upright_jpeg_keeps_its_bytes(progressive: bool, tmp_path: Path) -> None:
    data = saved(PICTURE, "JPEG", quality=70, progressive=progressive)
    result = normalize(tmp_path, data)
    assert result.encoded == data
    assert np.array_equal(result.image, decode(data))
    assert (result.facts["width"], result.facts["height"]) == (128, 96)
    assert result.facts["format"] == "JPEG"
    assert (tmp_path / "one.jpg").read_bytes() == data


def test_everything_else_is_encoded_anew_from_its_pixels(tmp_path: Path) -> None:
    result = normalize(tmp_path, saved(PICTURE, "PNG"))
    assert result.encoded is None
    assert np.array_equal(result.image, RGB)
    assert result.image.dtype == np.uint8


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_ends_upright(turn: int, form: str, tmp_path: Path) -> None:
    result = normalize(tmp_path, laid_down(turn, form))
    assert result.image.shape == RGB.shape
    assert np.abs(result.image.astype(int) - RGB).mean() < 4
    assert (result.facts["width"], result.facts["height"]) == (128, 96)


BAD_EXIF = {
    "no TIFF": b"garbage that is no TIFF at all",
    "points outside": b"II*\0\xff\xff\xff\x7f",
    "turn 99": b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0",
    "turn is a text": b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x02x\0\0\0\0\0\0\0",
}


@pytest.mark.parametrize("kind", BAD_EXIF)
def test_a_picture_with_bad_exif_is_kept(kind: str, tmp_path: Path) -> None:
    data = with_exif(saved(PICTURE, "JPEG"), BAD_EXIF[kind])
    assert normalize(tmp_path, data).encoded == data


@pytest.mark.parametrize("kind", BAD_EXIF)
def test_bad_exif_is_noted(kind: str, tmp_path: Path) -> None:
    data = with_exif(saved(PICTURE, "JPEG"), BAD_EXIF[kind])
    assert normalize(tmp_path, data).facts.get("exif") == "unusable"


def test_good_exif_is_not_noted(tmp_path: Path) -> None:
    assert "exif" not in normalize(tmp_path, laid_down(6, "JPEG")).facts
    assert "exif" not in normalize(tmp_path, saved(PICTURE, "JPEG")).facts


def test_an_orientation_of_nought_means_upright(tmp_path: Path) -> None:
    assert normalize(tmp_path, laid_down(0, "JPEG")).facts.keys().isdisjoint({"exif"})


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    assert reason(tmp_path, b"") == "empty"


@pytest.mark.parametrize("data", [b"<html>404</html>", b"\0" * 99, b"x", b"PK\3\4" + bytes(50)])
def test_what_is_no_picture_is_called_so(data: bytes, tmp_path: Path) -> None:
    assert reason(tmp_path, data) == "not_an_image"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_that_ends_early_is_truncated(form: str, share: float, tmp_path: Path) -> None:
    data = saved(NOISE, form)
    assert reason(tmp_path, data[: int(len(data) * share)]) == "truncated"


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_anywhere_is_never_kept(mode: str, progressive: bool, tmp_path: Path) -> None:
    data = saved(NOISE.convert(mode), "JPEG", progressive=progressive)
    for share in (0.1, 0.3, 0.6, 0.8, 0.95, 0.99):
        assert reason(tmp_path, data[: int(len(data) * share)]) in ("truncated", "corrupt")


@pytest.mark.parametrize("form", ["AVIF", "HEIF", "JPEG2000", "ICO", "TGA", "MPO"])
def test_other_formats_cut_at_half_are_not_kept_either(form: str, tmp_path: Path) -> None:
    data = saved(NOISE, form)
    name = "one.tga" if form == "TGA" else "one"
    assert reason(tmp_path, data[: len(data) // 2], name) in ("truncated", "corrupt")


def test_a_header_that_makes_no_sense_is_corrupt(tmp_path: Path) -> None:
    assert reason(tmp_path, b"\xff\xd8\xff" + bytes(200)) == "corrupt"
    assert reason(tmp_path, b"II*\0\x08\0\0\0" + b"\xff" * 200) == "corrupt"
    assert reason(tmp_path, b"\x89PNG\r\n\x1a\n" + bytes(200)) == "corrupt"


def test_a_png_whose_checksum_is_wrong_is_corrupt(tmp_path: Path) -> None:
    data = bytearray(saved(NOISE, "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert reason(tmp_path, bytes(data)) == "corrupt"


def test_a_huge_header_is_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    data += png_chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + png_chunk(b"IEND", b"")
    tracemalloc.start()
    started = time.monotonic()
    try:
        with pytest.raises(Reject) as caught:
            normalize(tmp_path, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.reason == "too_large"
    assert caught.value.measured == {"megapixels": 3600.0}
    assert time.monotonic() - started < 1
    assert peak < 20e6


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF", "ICO", "TIFF"])
def test_the_limit_in_pixels_holds_for_every_format(form: str, tmp_path: Path) -> None:
    data = saved(PICTURE, form, **({"sizes": [(128, 96)]} if form == "ICO" else {}))
    assert reason(tmp_path, data, max_megapixels=0.012) == "too_large"
    assert normalize(tmp_path, data, max_megapixels=0.013).image.shape == (96, 128, 3)


def test_a_large_picture_in_a_small_icon_is_too_large(tmp_path: Path) -> None:
    inner = saved(Pillow.new("RGB", (500, 400)), "PNG")
    entry = struct.pack("<HHHBBBBHHII", 0, 1, 1, 32, 32, 0, 0, 1, 32, len(inner), 22)
    assert reason(tmp_path, entry + inner, max_megapixels=0.1) == "too_large"


@pytest.mark.parametrize("form", ["ICO", "JPEG", "PNG"])
@pytest.mark.parametrize("most", [0.01, 1.0])
def test_the_limit_of_a_program_that_uses_pillow_too_stays_as_it_was(
    form: str, most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 3000)  # under half of the picture's
    data = saved(PICTURE, form, **({"sizes": [(128, 96)]} if form == "ICO" else {}))
    if most < 0.1:
        assert reason(tmp_path, data, max_megapixels=most) == "too_large"
    else:
        assert normalize(tmp_path, data, max_megapixels=most).image.shape == (96, 128, 3)
    assert Pillow.MAX_IMAGE_PIXELS == 3000


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path) -> None:
    assert reason(tmp_path, saved(NOISE, "PNG"), max_megabytes=0.001) == "too_large"


def test_a_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    file = tmp_path / "one.jpg"
    file.write_bytes(saved(PICTURE, "JPEG"))
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("this user reads every file")
    with pytest.raises(Reject) as caught:
        Normalize()(Sample("smile/one.jpg", "smile", file))
    assert caught.value.reason == "unreadable"


def test_a_missing_file_is_no_verdict_on_the_picture(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Normalize()(Sample("smile/one.jpg", "smile", tmp_path / "one.jpg"))


def test_hostile_files_are_kept_or_rejected_and_raise_nothing_else() -> None:
    if not HOSTILE.is_dir():
        pytest.skip("the collection of odd and malformed pictures is not here")
    kept = set()
    for file in sorted(path for path in HOSTILE.rglob("*") if path.is_file()):
        key = file.relative_to(HOSTILE).as_posix()
        try:
            image = Normalize()(Sample(key, "x", file)).image
        except Reject as reject:
            assert reject.reason
            continue
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        kept.add(file.name)
    assert len(kept) > 200
    assert {"hopper.jpg", "hopper.avif", "junk_jpeg_header.jpg", "test-card-lossless.jp2"} <= kept
    assert kept.isdisjoint(
        {"ultrahdr.jpg", "hopper_bad_exif.jpg", "1.eps", "readme.txt", "hopper_merged.psd"}
    )


def test_landscapes_of_every_orientation_look_alike() -> None:
    folder = HOSTILE / "exif-orientation"
    if not folder.is_dir():
        pytest.skip("the landscapes of every orientation are not here")
    files = sorted(folder.glob("*.jpg"))
    assert len(files) == 9
    seen = [Normalize()(Sample(f"x/{file.name}", "x", file)).image for file in files]
    number = slice(500, 700), slice(800, 1000)  # each bears its own number in the middle
    for image in seen:
        assert image.shape == (1200, 1800, 3)
        apart = np.abs(image.astype(int) - seen[1])
        apart[number] = 0
        assert apart.mean() < 6
