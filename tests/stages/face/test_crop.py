"""Squares around a box: where they lie, and what is cut out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.sample import Image, Sample
from stages.face.crop import Square, cut, padded_share, square_around
from stages.face_crop import FaceCrop

sides = st.integers(1, 300)
scales = st.floats(0.2, 4.0)
coordinates = st.floats(-50, 350)
extents = st.floats(0, 300)


def numbered(width: int, height: int) -> Image:
    """Every pixel says where it is: red its column, green its row, blue both."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.dstack([columns % 256, rows % 256, (columns // 256) * 16 + rows // 256]).astype(
        np.uint8
    )


@given(coordinates, coordinates, extents, extents, scales, sides, sides)
@example(0.0, 0.0, 0.0, 0.0, 0.2, 1, 1)
@example(10.0, 10.0, 100.0, 20.0, 1.5, 150, 150)
def test_a_square_has_the_asked_for_side_wherever_the_box_lies(
    left: float, top: float, wide: float, tall: float, scale: float, width: int, height: int
) -> None:
    square = square_around((left, top, wide, tall), scale, width, height)
    assert square.side == max(1, round(scale * max(wide, tall)))
    assert square.box == [square.left, square.top, square.side, square.side]


@given(coordinates, coordinates, extents, extents, scales, sides, sides)
def test_a_square_that_fits_lies_inside_the_picture(
    left: float, top: float, wide: float, tall: float, scale: float, width: int, height: int
) -> None:
    square = square_around((left, top, wide, tall), scale, width, height)
    for start, length in ((square.left, width), (square.top, height)):
        if square.side <= length:
            assert 0 <= start <= length - square.side
        else:
            assert abs(start + square.side / 2 - length / 2) <= 0.5
    if square.side <= min(width, height):
        assert padded_share(square, width, height) == 0


@given(coordinates, coordinates, extents, extents, scales, sides, sides)
def test_a_square_is_moved_no_further_than_the_edge_asks(
    left: float, top: float, wide: float, tall: float, scale: float, width: int, height: int
) -> None:
    square = square_around((left, top, wide, tall), scale, width, height)
    places = ((left + wide / 2, square.left, width), (top + tall / 2, square.top, height))
    for centre, start, length in places:
        wished = centre - square.side / 2
        if 0 <= wished <= length - square.side:
            assert abs(start - wished) <= 0.5
        elif square.side <= length:
            assert start == (0 if wished < 0 else length - square.side)


@given(st.integers(0, 200), st.integers(0, 150), st.integers(1, 100), st.integers(1, 100))
def test_a_box_inside_the_picture_stays_inside_its_square(
    left: int, top: int, wide: int, tall: int
) -> None:
    width, height = left + wide + 7, top + tall + 3
    square = square_around((left, top, wide, tall), 1.5, width, height)
    for start, box_start, box_side, length in (
        (square.left, left, wide, width),
        (square.top, top, tall, height),
    ):
        assert max(start, 0) <= box_start
        assert box_start + box_side <= min(start + square.side, length)


@given(
    st.integers(-20, 90),
    st.integers(-20, 70),
    st.integers(1, 200),
    sides,
    sides,
    st.integers(0, 99),
)
def test_a_cut_is_square_with_repeated_borders(
    left: int, top: int, side: int, width: int, height: int, size: int
) -> None:
    square = square_around((left, top, side, side), 1.0, width, height)
    image = numbered(width, height)
    native = cut(image, square, 0)
    rows = np.clip(np.arange(square.top, square.top + square.side), 0, height - 1)
    columns = np.clip(np.arange(square.left, square.left + square.side), 0, width - 1)
    assert np.array_equal(native, image[rows][:, columns])
    resized = cut(image, square, size)
    assert resized.shape == ((size or square.side), (size or square.side), 3)
    assert resized.dtype == np.uint8
    assert resized.flags.c_contiguous


@given(st.integers(1, 90), sides, sides)
def test_the_padded_share_counts_the_pixels_outside(side: int, width: int, height: int) -> None:
    square = square_around((5, 5, side, side), 1.0, width, height)
    rows = np.arange(square.top, square.top + side)
    columns = np.arange(square.left, square.left + side)
    inside = ((rows >= 0) & (rows < height)).sum() * ((columns >= 0) & (columns < width)).sum()
    assert padded_share(square, width, height) == pytest.approx(1 - inside / side**2, abs=1e-4)


def test_a_cut_inside_the_picture_leaves_the_picture_alone() -> None:
    image = numbered(60, 40)
    before = image.copy()
    piece = cut(image, Square(10, 5, 20), 0)
    piece[:] = 0
    assert np.array_equal(image, before) or piece.base is image


def test_a_flat_picture_stays_flat_at_every_size() -> None:
    image = np.full((30, 50, 3), (10, 120, 250), np.uint8)
    for size in (1, 7, 30, 128):
        assert np.unique(cut(image, Square(-5, -10, 50), size).reshape(-1, 3), axis=0).tolist() == [
            [10, 120, 250]
        ]


def face_sample(face: list[int], width: int = 100, height: int = 80) -> Sample:
    from pathlib import Path

    return Sample("a/b.jpg", "a", Path("b.jpg"), {"face": face}, pixels=numbered(width, height))


def test_the_face_crop_is_the_widened_box() -> None:
    result = FaceCrop(scale=1.2, size=0)(face_sample([30, 20, 40, 40]))
    assert result.facts["crop"] == [26, 16, 48, 48]
    assert result.facts["padded"] == 0
    assert np.array_equal(result.image, numbered(100, 80)[16:64, 26:74])


def test_the_face_crop_at_a_corner_is_moved_and_stays_square() -> None:
    result = FaceCrop(scale=1.5, size=64)(face_sample([60, 40, 40, 40]))
    assert result.facts["crop"] == [40, 20, 60, 60]
    assert result.image.shape == (64, 64, 3)


def test_a_face_larger_than_the_picture_is_padded_on_both_sides() -> None:
    result = FaceCrop(scale=2.0, size=0)(face_sample([10, 0, 80, 80]))
    assert result.facts["crop"] == [-30, -40, 160, 160]
    assert result.facts["padded"] == pytest.approx(1 - 100 * 80 / 160**2, abs=1e-4)
    assert result.image[0, 0].tolist() == [0, 0, 0]
    assert result.image[-1, -1].tolist() == [99, 79, 0]


@pytest.mark.parametrize(("scale", "size"), [(0.0, 128), (-1.0, 128), (1.2, -1)])
def test_senseless_face_crops_are_refused(scale: float, size: int) -> None:
    with pytest.raises(ValueError, match="scale must be over 0, size 0 or more"):
        FaceCrop(scale=scale, size=size)
