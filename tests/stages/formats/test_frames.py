"""The right page of a TIFF and the right frame of an animation; sides that no JPEG holds."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from small_files import NOISE, PICTURE, RGB, normalize, png_chunk, reason, saved

THUMBNAIL = PICTURE.resize((32, 24))
EMPTY = Pillow.new("RGB", PICTURE.size, "black")
CLEAR = Pillow.new("RGBA", PICTURE.size, (0, 0, 0, 0))


def pages(*pictures: Pillow.Image) -> bytes:
    return saved(pictures[0], "TIFF", save_all=True, append_images=list(pictures[1:]))


@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_largest_page_of_a_tiff_is_the_picture(position: int, tmp_path: Path) -> None:
    others = [THUMBNAIL, NOISE.resize((64, 48))]
    others.insert(position, PICTURE)
    result = normalize(tmp_path, pages(*others))
    assert np.array_equal(result.image, RGB)
    assert result.facts.get("frame", 0) == position


def test_the_first_of_equal_pages_is_the_picture(tmp_path: Path) -> None:
    result = normalize(tmp_path, pages(PICTURE, NOISE))
    assert np.array_equal(result.image, RGB)
    assert "frame" not in result.facts


def test_a_large_page_behind_a_thumbnail_counts_for_the_limit(tmp_path: Path) -> None:
    assert reason(tmp_path, pages(THUMBNAIL, PICTURE), max_megapixels=0.005) == "too_large"


def test_a_damaged_later_directory_leaves_the_first_page(tmp_path: Path) -> None:
    data = bytearray(pages(PICTURE, THUMBNAIL))
    first = struct.unpack_from("<I", data, 4)[0]
    link = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, link, len(data) - 3)
    assert np.array_equal(normalize(tmp_path, bytes(data)).image, RGB)


def test_pages_that_lead_to_each_other_end(tmp_path: Path) -> None:
    data = bytearray(pages(PICTURE, THUMBNAIL))
    first = struct.unpack_from("<I", data, 4)[0]
    link = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    second = struct.unpack_from("<I", data, link)[0]
    struct.pack_into("<I", data, second + 2 + 12 * struct.unpack_from("<H", data, second)[0], first)
    assert np.array_equal(normalize(tmp_path, bytes(data)).image, RGB)


def test_the_thumbnail_of_a_camera_s_raw_file_is_not_taken_for_the_picture(tmp_path: Path) -> None:
    tags = {254: 1, 330: 8}
    assert reason(tmp_path, saved(THUMBNAIL, "TIFF", tiffinfo=tags)) == "unsupported_format"
    assert normalize(tmp_path, saved(PICTURE, "TIFF", tiffinfo={254: 1})).image.shape == RGB.shape
    assert normalize(tmp_path, saved(PICTURE, "TIFF", tiffinfo={330: 8})).image.shape == RGB.shape


def animation(form: str, *frames: Pillow.Image) -> bytes:
    options: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95}}
    more = {"append_images": frames[1:], "duration": 40, **options.get(form, {})}
    return saved(frames[0], form, save_all=True, **more)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("empty", [EMPTY, CLEAR], ids=["black", "transparent"])
@pytest.mark.parametrize("count", [1, 3])
def test_the_first_frame_with_something_on_it_is_the_picture(
    form: str, empty: Pillow.Image, count: int, tmp_path: Path
) -> None:
    shades = [empty.point(lambda value, more=index: value + more) for index in range(count)]
    shown = [picture.convert(empty.mode) for picture in (PICTURE, NOISE)]
    result = normalize(tmp_path, animation(form, *shades, *shown))
    assert np.abs(result.image.astype(int) - RGB).mean() < 8
    assert 0 < result.facts["frame"] <= count


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "AVIF"])
def test_a_first_frame_with_something_on_it_is_kept(form: str, tmp_path: Path) -> None:
    result = normalize(tmp_path, animation(form, PICTURE, NOISE))
    assert np.abs(result.image.astype(int) - RGB).mean() < 8
    assert "frame" not in result.facts


def test_an_animation_of_empty_frames_is_its_first(tmp_path: Path) -> None:
    grey = Pillow.new("RGB", PICTURE.size, "gray")
    result = normalize(tmp_path, animation("WEBP", EMPTY, grey))
    assert result.image.max() == 0
    assert "frame" not in result.facts


def test_a_damaged_later_frame_leaves_the_empty_first(tmp_path: Path) -> None:
    data = animation("GIF", EMPTY, NOISE, NOISE)
    assert normalize(tmp_path, data[: len(data) // 3]).image.max() == 0


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("size", [(31, 65_533), (65_533, 31)])
def test_a_side_that_no_jpeg_holds_is_too_large(
    form: str, size: tuple[int, int], tmp_path: Path
) -> None:
    assert reason(tmp_path, saved(Pillow.new("L", size), form)) == "too_large"


def test_the_longest_side_that_a_jpeg_holds_is_kept(tmp_path: Path) -> None:
    assert normalize(tmp_path, saved(Pillow.new("L", (65_500, 3)), "PNG")).image.shape[1] == 65_500


def test_a_jpeg_whose_header_declares_a_longer_side_is_too_large(tmp_path: Path) -> None:
    data = bytearray(saved(PICTURE, "JPEG"))
    struct.pack_into(">H", data, data.index(b"\xff\xc0") + 5, 65_534)
    assert reason(tmp_path, bytes(data)) == "too_large"


def test_a_png_with_a_damaged_chunk_has_the_same_limit(tmp_path: Path) -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    profile = png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100_000_000)))
    rows = png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    assert reason(tmp_path, b"\x89PNG\r\n\x1a\n" + header + profile + rows) == "too_large"
