"""The compiled scan finds what OpenCV finds, hit for hit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.pictures import decode
from stages.demo.portrait import portrait
from stages.face.haar import COMPILED, Haar
from stages.face.model_files import HAAR, installed, load_cascade
from stages.faces import Faces

if COMPILED:
    from stages.face import haar_scan

Grey = NDArray[np.uint8]
CASCADES = [
    path
    for path in sorted(Path(cv2.data.haarcascades).glob("*.xml"))
    if path.stem.split("_")[1] in ("eye", "frontalface", "frontalcatface", "profileface")
]


@cache
def both(path: Path | None = None) -> tuple[Haar, Haar]:
    """The cascade as it is used, and searched by OpenCV."""
    path = path or installed(HAAR)
    return Haar(path), Haar(path, compiled=False)


def person(side: int = 512) -> Grey:
    grey = cv2.cvtColor(portrait()[0], cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def same_hits(grey: Grey, factor: float, least: int = 1, path: Path | None = None) -> int:
    ours, opencv = both(path)
    found = ours.hits(grey, factor, least, max(grey.shape))
    theirs = opencv.hits(grey, factor, least, max(grey.shape))
    assert sorted(found) == sorted(theirs)  # its threads finish in any order
    return len(found)


def test_the_scan_is_compiled_where_the_tests_run() -> None:
    assert COMPILED


@pytest.mark.parametrize("side", [24, 48, 49, 100, 333, 512, 700])
@pytest.mark.parametrize("factor", [1.02, 1.1, 1.3, 2.0])
def test_a_portrait_gives_the_hits_of_opencv(factor: float, side: int) -> None:
    assert same_hits(person(side), factor) or side < 100


@pytest.mark.parametrize("path", CASCADES, ids=lambda path: path.stem)
def test_any_square_cascade_gives_the_hits_of_opencv(path: Path) -> None:
    """Trees, tilted features and long stages are left to it."""
    same_hits(person(), 1.2, path=path)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 130),
    st.integers(1, 130),
    st.sampled_from([1, 2, 4, 8]),
    st.floats(1.05, 2.5),
)
@example(252, 49, 122, 8, 1.2421875)  # a hit in a last row that OpenCV leaves out
def test_blots_give_the_hits_of_opencv(
    seed: int, height: int, width: int, blot: int, factor: float
) -> None:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // blot + 1, width // blot + 1), dtype=np.uint8)
    same_hits(np.asarray(cv2.resize(small, (width, height)), np.uint8), factor)


@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_flat_pictures_have_no_hits(value: int) -> None:
    assert same_hits(np.full((200, 150), value, np.uint8), 1.3) == 0


def test_photographs_give_the_hits_of_opencv(photographs: Path) -> None:
    paths = sorted(photographs.rglob("*.jpg"))[::8]
    pictures = [np.asarray(decode(path.read_bytes(), "GRAY"), np.uint8)[..., 0] for path in paths]
    assert sum(same_hits(picture, 1.3, 48) for picture in pictures) > 5 * len(pictures)


def test_boxes_at_the_edge_are_grouped_first_and_clipped_then() -> None:
    picture = np.ascontiguousarray(person(300)[:180, :162])
    hits = both()[0].hits(picture, 1.3, 48, 180)
    assert any(left + side > 162 for left, _, side, _ in hits)
    seen = load_cascade(installed(HAAR)).detectMultiScale(picture, 1.3, 5)
    assert Faces(exact=True).find(picture) == np.asarray(seen).tolist() != []


def test_threads_do_not_disturb_each_other() -> None:
    ours, picture = both()[0], person()
    expected = ours.hits(picture, 1.1, 24, 512)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: ours.hits(picture, 1.1, 24, 512), range(8)):
            assert found == expected


def test_what_does_not_fit_is_refused_not_read() -> None:
    tables = both()[0].tables
    assert tables is not None
    stages, stumps = tables
    for picture, height, side, stumps_given in [
        (bytes(899), 30, 24, stumps),
        (bytes(900), 0, 24, stumps),
        (bytes(900), 30, 20, stumps),
        (bytes(900), 30, 24, stumps[:-1000]),
        (bytes(900), 30, 24, b""),
    ]:
        with pytest.raises(ValueError):
            haar_scan.hits(picture, height, 30, 1, side, stages, stumps_given)
    assert haar_scan.hits(bytes(900), 30, 30, 1, 24, stages, stumps) == b""
