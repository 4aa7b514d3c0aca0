"""Fewer bits in a file of 16 come out as bright as they are meant."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from small_files import normalize, png_chunk
from small_formats import ALPHA, GREY, RGB, difference, grey, on_white, written

BITS = [8, 10, 12, 14, 16]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
def test_grey_of_fewer_bits_is_as_bright_as_of_16(bits: int, suffix: str, tmp_path: Path) -> None:
    values = np.rint(GREY / 255 * (2**bits - 1)).astype(np.uint16)
    assert difference(normalize(tmp_path, written(suffix, values)).image, grey(GREY))[1] <= 1


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
def test_colour_of_fewer_bits_is_as_bright_as_of_16(bits: int, suffix: str, tmp_path: Path) -> None:
    values = np.rint(RGB[:, :, ::-1] / 255 * (2**bits - 1)).astype(np.uint16)
    assert difference(normalize(tmp_path, written(suffix, values)).image, RGB)[1] <= 1


@pytest.mark.parametrize("alpha_bits", [12, 16])
def test_transparency_of_either_depth_lies_on_white(alpha_bits: int, tmp_path: Path) -> None:
    colours = np.rint(RGB[:, :, ::-1] / 255 * 4095).astype(np.uint16)
    alpha = np.rint(ALPHA / 255 * (2**alpha_bits - 1)).astype(np.uint16)
    seen = normalize(tmp_path, written(".png", np.dstack([colours, alpha]))).image
    assert difference(seen, on_white(RGB, ALPHA))[1] <= 2


def test_transparent_grey_of_12_bits_lies_on_white(tmp_path: Path) -> None:
    rows = np.dstack([np.rint(GREY / 255 * 4095), np.rint(ALPHA / 255 * 4095)]).astype(">u2")
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 128, 96, 16, 4, 0, 0, 0))
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")
    seen = normalize(tmp_path, data).image
    assert difference(seen, on_white(grey(GREY), ALPHA))[1] <= 2


def test_a_dark_picture_of_8_bits_stays_dark(tmp_path: Path) -> None:
    seen = normalize(tmp_path, written(".png", RGB[:, :, ::-1] // 8)).image
    assert difference(seen, RGB // 8)[1] == 0
