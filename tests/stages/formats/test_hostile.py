"""Damaged, misleading and malicious files: the right reason, or the right pixels."""

from __future__ import annotations

import json
import multiprocessing
import resource
import shutil
import struct
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import SHARED, Command
from PIL import Image as Pillow
from small_files import NOISE, PICTURE, RGB, normalize, png_chunk, reason, saved, with_exif
from small_formats import difference

from pipeline.pictures import decode
from pipeline.sample import Reject, Sample

HOSTILE = SHARED / "hostile"
PNG = b"\x89PNG\r\n\x1a\n"


def test_a_whole_collection_of_odd_files_is_accounted_for(
    pipeline: Command, tmp_path: Path
) -> None:
    if not HOSTILE.is_dir():
        pytest.skip("the collection of odd and malformed pictures is not here")
    shutil.copytree(HOSTILE, tmp_path / "raw" / "odd")
    where = ("--raw", tmp_path / "raw", "--processed", tmp_path / "processed")
    assert "TIFF" not in pipeline("lips", *where, "--workers", 2).stderr  # what libtiff says
    stages = json.loads(pipeline("status", "--json", *where).stdout)["stages"]
    before = sum(1 for path in (tmp_path / "raw").rglob("*") if path.is_file())
    for stage in stages[:5]:
        assert stage["in"] == before == stage["kept"] + sum(stage["rejected"].values())
        assert stage["error"] == 0
        before = stage["kept"]
    upright = sorted((tmp_path / "processed" / "normalized" / "odd").glob("landscape-?-*.jpg"))
    assert len(upright) == 9
    seen = [cv2.resize(decode(path.read_bytes()), (180, 120)).astype(int) for path in upright]
    for image in seen:
        image[50:70, 80:100] = 0  # each bears its own number in the middle
        assert np.abs(image - seen[1]).mean() < 6


def scan_of(data: bytes | bytearray) -> int:
    """Where the coded picture of a JPEG begins."""
    start = data.index(b"\xff\xda")
    return start + 2 + int.from_bytes(data[start + 2 : start + 4])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_overwritten_in_the_middle_is_not_kept(
    mode: str, progressive: bool, tmp_path: Path
) -> None:
    data = bytearray(saved(NOISE.convert(mode), "JPEG", progressive=progressive))
    middle = (scan_of(data) + len(data)) // 2
    data[middle : middle + 400] = np.random.default_rng(1).bytes(400)
    assert reason(tmp_path, bytes(data)) == "corrupt"


def test_a_jpeg_that_opencv_gives_up_within_is_not_kept(tmp_path: Path) -> None:
    data = bytearray(saved(NOISE, "JPEG"))
    middle = (scan_of(data) + len(data)) // 2
    data[middle : middle + 4] = b"\xff\x22\x00\x02"  # no marker there is
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == RGB.shape
    with pytest.raises(ValueError, match="0x22"):
        decode(bytes(data))
    assert reason(tmp_path, bytes(data)) == "corrupt"


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "AVIF", "HEIF"])
def test_a_tail_of_zeros_is_a_download_that_stopped(form: str, tmp_path: Path) -> None:
    data = saved(NOISE, form)
    half = len(data) // 2
    assert reason(tmp_path, data[:half] + bytes(len(data) - half)) == "truncated"


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "no end marker": lambda data: data[:-2],
    "half an end marker": lambda data: data[:-1],
    "zeros for an end marker": lambda data: data[:-2] + bytes(3000),
    "zeros before the end marker": lambda data: data[:-2] + bytes(40) + data[-2:],
    "a byte before the end marker": lambda data: data[:-2] + b"\x5a\x5a" + data[-2:],
    "garbage after the end": lambda data: data + b"garbage \xff\xd8\xff\xd9" * 50,
    "zeros after the end": lambda data: data + bytes(5000),
    "bytes between segments": lambda data: data.replace(b"\xff\xdb", b"\0\1\2\3\xff\xdb", 1),
    "a JFIF of version 7": lambda data: data.replace(b"JFIF\0\1", b"JFIF\0\7", 1),
    "half a colour profile": lambda data: (
        data[:2] + segment(0xE2, b"ICC_PROFILE\0\5\2" + bytes(20)) + data[2:]
    ),
}


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_jpeg_whose_blocks_all_decode_is_kept(wrapping: str, mode: str, tmp_path: Path) -> None:
    whole = saved(PICTURE.convert(mode), "JPEG", quality=90)
    kept = normalize(tmp_path, WRAPPINGS[wrapping](whole))
    assert np.array_equal(kept.image, normalize(tmp_path, whole).image)
    if kept.encoded is not None:
        assert np.array_equal(decode(kept.encoded), decode(whole))


def test_a_damaged_wrapping_does_not_lay_a_picture_down(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    whole = saved(PICTURE.transpose(Pillow.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)
    assert difference(normalize(tmp_path, whole[:-2]).image, RGB)[0] < 2


def test_sampling_that_the_strict_decoder_does_not_know_is_left_to_pillow(tmp_path: Path) -> None:
    data = bytearray(saved(PICTURE, "JPEG", subsampling=0))
    frame = data.index(b"\xff\xc0")
    data[frame + 11] = 0x31  # three by one: another layout of blocks, so the colours are nonsense
    assert normalize(tmp_path, bytes(data)).image.shape == RGB.shape


def png(width: int, height: int, rows: bytes, *chunks: bytes, interlaced: int = 0) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced))
    body = png_chunk(b"IDAT", zlib.compress(rows))
    return PNG + header + b"".join(chunks) + body + png_chunk(b"IEND", b"")


def test_a_png_that_lacks_rows_is_truncated_and_a_black_one_is_not(tmp_path: Path) -> None:
    row = b"\0" + bytes(range(30, 120))
    assert reason(tmp_path, png(30, 20, row * 12)) == "truncated"
    assert reason(tmp_path, png(30, 20, b"")) == "truncated"
    assert normalize(tmp_path, png(30, 20, row * 20)).image.shape == (20, 30, 3)
    assert normalize(tmp_path, png(30, 20, bytes(91 * 20))).image.max() == 0
    black = cv2.imencode(".png", np.zeros((9, 7, 3), np.uint8))[1].tobytes()
    assert normalize(tmp_path, black).image.shape == (9, 7, 3)


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (3, 5), (33, 17)])
def test_black_interlaced_pngs_are_whole_when_each_pass_is(
    size: tuple[int, int], tmp_path: Path
) -> None:
    width, height = size
    mask = np.zeros((height, width), int)
    steps = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
    rows = b""
    for top, left, down, right in (*steps, (1, 0, 2, 1)):
        part = mask[top::down, left::right]
        part += 1
        rows += (b"\0" + bytes(3 * part.shape[1])) * (part.shape[0] if part.size else 0)
    assert (mask == 1).all()
    assert normalize(tmp_path, png(width, height, rows, interlaced=1)).image.max() == 0
    assert reason(tmp_path, png(width, height, rows[:-1], interlaced=1)) == "truncated"


@pytest.mark.parametrize("place", [33, -12])
@pytest.mark.parametrize(
    "chunk",
    [
        struct.pack(">I", 5) + b"tEXta\0bcd" + bytes(4),  # a wrong checksum
        png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000))),
        png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100_000_000))),
    ],
    ids=["wrong checksum", "text bomb", "profile bomb"],
)
def test_a_png_is_judged_by_its_pixels(chunk: bytes, place: int, tmp_path: Path) -> None:
    whole = saved(PICTURE, "PNG")
    assert np.array_equal(normalize(tmp_path, whole[:place] + chunk + whole[place:]).image, RGB)


def test_a_png_without_its_end_chunk_is_kept(tmp_path: Path) -> None:
    assert np.array_equal(normalize(tmp_path, saved(PICTURE, "PNG")[:-12]).image, RGB)


def jpeg_as(marker: int) -> bytes:
    data = bytearray(saved(PICTURE, "JPEG"))
    data[data.index(b"\xff\xc0") + 1] = marker
    return bytes(data)


ISO = struct.pack(">I4s4sI", 16, b"ftyp", b"mp42", 0) + struct.pack(">I4s", 8, b"moov")
REASONS = {
    "a page": (b"\n <!DOCTYPE html><html><img src='x'></html>", "not_an_image"),
    "a page that draws": (b"<html><svg></svg></html>", "not_an_image"),
    "zeros": (bytes(5000), "not_an_image"),
    "a film": (ISO, "not_an_image"),
    "sound": (b"RIFF" + struct.pack("<I", 40) + b"WAVEfmt " + bytes(32), "not_an_image"),
    "an archive": (b"PK\3\4" + bytes(90), "not_an_image"),
    "a script": (b"#!/bin/sh\ntouch /tmp/run\n", "not_an_image"),
    "JPEG XL": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(90), "unsupported_format"),
    "EMF": (b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(90), "unsupported_format"),
    "PCX": (saved(PICTURE, "PCX"), "unsupported_format"),
    "SGI": (saved(PICTURE, "SGI"), "unsupported_format"),
    "PAM": (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0", "unsupported_format"),
    "lossless JPEG": (jpeg_as(0xC3), "corrupt"),
    "arithmetic JPEG of Huffman codes": (jpeg_as(0xC9), "corrupt"),
    "BMP of 3.6 gigapixels": (
        saved(PICTURE, "BMP")[:18] + struct.pack("<ii", 60000, 60000) + saved(PICTURE, "BMP")[26:],
        "too_large",
    ),
    "GIF of 4.3 gigapixels": (
        b"GIF89a" + b"\xff" * 4 + b"\x80" + bytes(8) + b"," + bytes(4) + b"\xff" * 4 + b"\0\2;",
        "too_large",
    ),
    "PPM of 3.6 gigapixels": (b"P6 60000 60000 255\n", "too_large"),
    "TIFF of 144 megapixels": (
        saved(Pillow.new("1", (12000, 12000)), "TIFF", compression="group4"),
        "too_large",
    ),
    "TIFF cut before its directory": (
        saved(NOISE, "TIFF", compression="tiff_lzw")[:2000],
        "truncated",
    ),
    "TIFF whose directory leads to itself": (b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "corrupt"),
}


@pytest.mark.parametrize("kind", REASONS)
def test_files_that_are_not_what_they_seem_get_their_reason(kind: str, tmp_path: Path) -> None:
    data, expected = REASONS[kind]
    assert reason(tmp_path, data) == expected


@pytest.mark.parametrize("kind", ["tile", "icon"])
def test_what_is_hidden_in_a_small_picture_counts_before_it_is_decoded(
    kind: str, tmp_path: Path
) -> None:
    if kind == "tile":
        tags = [(256, 16), (257, 16), (258, 8), (259, 5), (262, 1), (322, 60000), (323, 60000)]
        tags += [(324, 8), (325, 100)]
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        data = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
    else:
        inner = png(2**31 - 1, 2**31 - 1, bytes(9))
        data = struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(inner), 22) + inner
    assert reason(tmp_path, data) == "too_large"


@pytest.mark.parametrize("filling", [b"\0", b"\xff"])
def test_a_jpeg_of_hardly_more_than_a_beginning_costs_no_time(
    filling: bytes, tmp_path: Path
) -> None:
    started = time.process_time()
    assert reason(tmp_path, saved(PICTURE, "JPEG")[:20] + filling * 20_000_000) == "truncated"
    assert time.process_time() - started < 2


def within(megabytes: int, run: Callable[[], Sample]) -> Sample:
    """What comes of it when no more than so much memory may be added to what is in use."""
    status = Path("/proc/self/status").read_text()
    used = int(status.split("VmData:")[1].split()[0]) * 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used + megabytes * 1_000_000, hard))
    try:
        return run()
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"progressive": True},
    "PNG": {"compress_level": 1},
    "TIFF": {"compression": "tiff_lzw"},
    "JPEG2000": {"quality_layers": [90]},
    "AVIF": {"speed": 10},
}


def wanting(folder: Path) -> int:
    """How many pictures found too little memory; all others came through whole."""
    large = PICTURE.resize((3400, 3300))
    short = 0
    for form in ("JPEG", "PNG", "TIFF", "WEBP", "JPEG2000", "BMP", "AVIF", "HEIF"):
        slow = form in ("HEIF", "JPEG2000")  # to make
        picture = large.resize((1200, 1000)) if slow else large
        data = saved(picture, form, **OPTIONS.get(form, {}))
        for megabytes in (5, 20, 60):
            try:
                kept = within(megabytes, partial(normalize, folder, data))
                assert kept.image.shape[:2] == picture.size[::-1]
            except MemoryError:
                short += 1
            except Reject as reject:
                assert "memory_gigabytes" in reject.measured
                short += 1
    return short


def test_a_lack_of_memory_is_never_taken_for_damage(tmp_path: Path) -> None:
    # in a process of its own: what other tests freed here would be there to be had
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        assert process.submit(wanting, tmp_path).result() > 8


def test_a_bitmap_whose_spare_byte_is_nought_is_not_transparent(tmp_path: Path) -> None:
    clear = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    data = saved(Pillow.fromarray(clear), "TGA")
    assert np.array_equal(normalize(tmp_path, data, "one.tga").image, RGB)


def test_an_exif_directory_that_leads_to_itself_is_read_once(tmp_path: Path) -> None:
    loop = b"MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\1\0\0\0\x08\0\0\0\x08"
    assert normalize(tmp_path, with_exif(saved(PICTURE, "JPEG"), loop)).image.shape == RGB.shape


def test_signalling_holes_in_floating_point_are_like_any_other(tmp_path: Path) -> None:
    values = np.full((40, 40), 0.5, np.float32)
    values.view(np.uint32)[10:20] = 0x7FA00000
    image = normalize(tmp_path, saved(Pillow.fromarray(values), "TIFF")).image
    assert image[12:18].max() == 0 and image[25:].min() > 120


@pytest.mark.parametrize("value", [np.nan, np.inf, -5.0, 3e38])
def test_floating_point_without_any_range_is_one_grey(value: float, tmp_path: Path) -> None:
    flat = Pillow.fromarray(np.full((40, 40), value, np.float32))
    image = normalize(tmp_path, saved(flat, "TIFF")).image
    assert image.min() == image.max()


def test_netpbm_of_every_kind(tmp_path: Path) -> None:
    kinds = {
        b"P1\n# one\n2 1\n0 1\n": [255, 0],
        b"P2 2 1 15 0 15": [0, 255],
        b"P3 2 1 255 0 0 0 255 255 255": [0, 255],
        b"P4 2 1\n\x40": [255, 0],
        b"P5 2 1 255\n\x00\xff": [0, 255],
        b"P5 2 1 65535\n\x00\x00\xff\xff": [0, 255],
        b"P6 2 1 255\n\x00\x00\x00\xff\xff\xff": [0, 255],
    }
    for data, row in kinds.items():
        assert normalize(tmp_path, data).image[0, :, 0].tolist() == row
