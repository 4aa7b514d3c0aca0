"""BlazeFace sees the portrait's face, from near and from far, and none where there is none."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sample import Image
from stages.demo.portrait import portrait
from stages.face.blazeface import BlazeFace, Detection
from stages.face.crop import Square, overlap
from stages.face.model_files import BLAZEFACE, installed

FACE = (180, 76, 86, 86)  # in the portrait, brows to chin


@cache
def network() -> BlazeFace:
    return BlazeFace(installed(BLAZEFACE))


def see(image: Image, square: Square | None = None, least: float = 0.75) -> list[Detection]:
    return network()(image, square or Square(0, 0, max(image.shape)), least)


def test_the_face_is_where_it_is() -> None:
    (found,) = see(portrait()[0])
    assert 0.75 < found.score <= 1
    assert overlap(found.box, FACE) > 0.7


@settings(max_examples=40, deadline=None)
@given(st.integers(-150, 150), st.integers(-60, 60), st.integers(200, 700))
def test_the_box_is_in_pixels_of_the_picture_whatever_the_square(
    right: int, down: int, side: int
) -> None:
    left, top = 223 - side // 2 + right * side // 700, 119 - side // 2 + down * side // 700
    found = see(portrait()[0], Square(left, top, side), least=0.5)
    assert found and overlap(found[0].box, FACE) > 0.5


@pytest.mark.parametrize("side", [100, 256, 2048])
def test_the_size_of_the_picture_does_not_matter(side: int) -> None:
    picture = np.asarray(cv2.resize(portrait()[0], (side, side)), np.uint8)
    (found,) = see(picture)
    assert overlap(found.box, [value * side / 512 for value in FACE]) > 0.6


@pytest.mark.parametrize("side", [64, 96])
def test_a_smaller_input_shows_the_same_face(side: int) -> None:
    quick = BlazeFace(installed(BLAZEFACE), side)
    (found,) = quick(portrait()[0], Square(98, 0, 256), 0.75)
    assert overlap(found.box, FACE) > 0.6


def test_a_face_that_fills_the_picture_is_seen_with_a_border() -> None:
    tight = np.ascontiguousarray(portrait()[0][75:165, 180:270])
    (found,) = see(tight, Square(-22, -22, 135))
    assert overlap(found.box, [0, 1, 86, 86]) > 0.6


@pytest.mark.parametrize("shape", [(200, 300), (1, 1), (600, 20)])
def test_noise_and_blank_pictures_show_no_face(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for picture in (noise, np.zeros_like(noise)):
        assert see(picture, least=0.5) == []


def test_threads_do_not_change_the_answer() -> None:
    """Neither OpenCV's own, nor several networks side by side."""
    picture, before = portrait()[0], cv2.getNumThreads()
    cv2.setNumThreads(1)
    expected = see(picture, least=0.1)
    cv2.setNumThreads(4)
    assert see(picture, least=0.1) == expected
    cv2.setNumThreads(before)

    def alone(_: int) -> list[Detection]:
        return BlazeFace(installed(BLAZEFACE))(picture, Square(0, 0, 512), 0.1)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(alone, range(8))) == [expected] * 8


def test_loading_a_network_prints_nothing() -> None:
    load = "import sys; from stages.face.network import Network; Network(sys.argv[1], 128)"
    path = str(installed(BLAZEFACE))
    run = subprocess.run([sys.executable, "-c", load, path], capture_output=True, check=True)
    assert run.stdout == run.stderr == b""
