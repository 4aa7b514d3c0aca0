"""Every picture format people have comes out in its right colours, whatever its file is called."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms
from small_files import saved
from small_formats import FORMATS, GREY, PICTURE, RGB, difference, grey, normalized, written

from pipeline.sample import Reject, Sample
from stages.normalize import Normalize


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_comes_out_in_its_colours(name: str, tmp_path: Path) -> None:
    make, tolerance = FORMATS[name]
    data, expected = make()
    suffix = ".tga" if name.startswith("TGA") else ".bin"
    mean, largest = difference(normalized(tmp_path, f"one{suffix}", data), expected)
    assert mean < 4
    assert largest <= tolerance


@pytest.mark.parametrize("name", ["one.png", "one.txt", "one", "one.JPG.png", ".jpg", "one.tga"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "HEIF", "BMP", "GIF"])
def test_the_content_counts_not_the_suffix(form: str, name: str, tmp_path: Path) -> None:
    seen = normalized(tmp_path, name, saved(PICTURE, form))
    assert difference(seen, RGB)[0] < 12


def test_a_targa_signed_at_its_end_needs_no_suffix(tmp_path: Path) -> None:
    assert difference(normalized(tmp_path, "one", saved(PICTURE, "TGA")), RGB)[0] < 2


def test_the_same_dim_picture_is_as_dark_as_a_pgm_as_it_is_as_a_png(tmp_path: Path) -> None:
    values = (GREY.astype(np.uint16) + 40) * 60
    png = normalized(tmp_path, "one.png", written(".png", values))
    pgm = normalized(tmp_path, "one.pgm", written(".pgm", values))
    assert difference(png, grey(values // 257))[1] <= 4
    assert difference(pgm, png)[1] <= 4


def test_floating_point_holes_become_black_not_noise(tmp_path: Path) -> None:
    values = (GREY / 255).astype(np.float32)
    values[10:20, 10:20] = np.nan
    values[30:40, 30:40] = np.inf
    seen = normalized(tmp_path, "one.tif", saved(Pillow.fromarray(values), "TIFF"))
    assert seen[12:18, 12:18].max() < 12
    assert seen[32:38, 32:38].max() < 12
    assert difference(seen[50:], grey(GREY)[50:])[1] <= 4


@pytest.mark.parametrize(
    "beginning",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"\xc5\xd0\xd3\xc6",
        b"%PDF-1.7\n",
        b"8BPS\0\1",
        b"<svg xmlns='http://www.w3.org/2000/svg'>",
        b"<?xml version='1.0'?>\n<!-- drawn -->\n<SVG>",
        b"gimp xcf file\0",
    ],
)
def test_formats_that_are_not_opened_are_called_so(beginning: bytes, tmp_path: Path) -> None:
    with pytest.raises(Reject) as caught:
        normalized(tmp_path, "one.jpg", beginning + bytes(300))
    assert caught.value.reason == "unsupported_format"


def colour_profile(description: str, order: str = "RGB", gamma: float = 2.2) -> bytes:
    """An ICC profile (version 2, matrix and gamma) with sRGB's primaries, in this order."""
    primaries = {
        "R": (0.4361, 0.2225, 0.0139),
        "G": (0.3851, 0.7169, 0.0971),
        "B": (0.1431, 0.0606, 0.7141),
    }
    name = description.encode() + b"\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249),
    }
    for letter, channel in zip("rgb", order, strict=True):
        tags[letter.encode() + b"XYZ"] = b"XYZ " + bytes(4) + fixed(*primaries[channel])
        curve = struct.pack(">IH", 1, round(gamma * 256))
        tags[letter.encode() + b"TRC"] = b"curv" + bytes(4) + curve + bytes(2)
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", tag, start + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s12s4s", start + len(body), b"", 0x02200000, *HEAD)
    return head + bytes(28) + fixed(0.9642, 1.0, 0.8249) + bytes(48) + table + body


HEAD = (b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp")


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def profiled(folder: Path, picture: Pillow.Image, form: str, **options: Any) -> Sample:
    file = folder / "one"
    file.write_bytes(saved(picture, form, **options))
    return Normalize()(Sample("smile/one", "smile", file))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_colours_of_another_profile_become_srgb(form: str, tmp_path: Path) -> None:
    profile = colour_profile("red and green exchanged", "GRB")
    red = Pillow.new("RGB", (64, 64), (255, 0, 0))
    result = profiled(tmp_path, red, form, icc_profile=profile)
    assert result.facts["icc"] == "converted"
    assert result.encoded is None
    assert np.abs(result.image.astype(int) - (0, 255, 0)).max() <= 12


def test_a_linear_profile_is_not_taken_for_srgb_for_its_name(tmp_path: Path) -> None:
    profile = colour_profile("GIMP built-in Linear sRGB", gamma=1.0)
    dark = Pillow.new("RGB", (64, 64), (55, 55, 55))
    result = profiled(tmp_path, dark, "PNG", icc_profile=profile)
    assert np.abs(result.image.astype(int) - 128).max() <= 4  # 55/255 of the light


def test_a_jpeg_that_says_it_is_srgb_keeps_its_bytes(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    result = profiled(tmp_path, PICTURE, "JPEG", icc_profile=profile)
    assert result.encoded == (tmp_path / "one").read_bytes()
    assert "icc" not in result.facts


def test_a_broken_profile_is_noted_and_the_colours_left(tmp_path: Path) -> None:
    result = profiled(tmp_path, PICTURE, "PNG", icc_profile=b"no profile at all")
    assert result.facts["icc"] == "unusable"
    assert np.array_equal(result.image, RGB)


def test_transparency_lies_on_white_under_another_profile_too(tmp_path: Path) -> None:
    profile = colour_profile("red and green exchanged", "GRB")
    picture = Pillow.new("RGBA", (64, 64), (255, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 64, 32))
    image = profiled(tmp_path, picture, "PNG", icc_profile=profile).image
    assert np.abs(image[:32].astype(int) - (0, 255, 0)).max() <= 12
    assert (image[32:] == 255).all()


def test_a_colour_that_stands_for_transparent_does_so_under_another_profile(tmp_path: Path) -> None:
    picture = Pillow.new("RGB", (64, 64), (9, 9, 200))
    picture.paste((255, 0, 0), (0, 0, 64, 32))
    profile = colour_profile("red and green exchanged", "GRB")
    options = {"icc_profile": profile, "transparency": (9, 9, 200)}
    image = profiled(tmp_path, picture, "PNG", **options).image
    assert (image[32:] == 255).all()
