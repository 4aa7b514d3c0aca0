"""Upright cuts of what surrounds a face, and the way of points from them into the picture."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sample import Image
from stages.face.closeup import Closeup, Region, box_of, moved, turned, upright_box

angles = st.floats(-3.1, 3.1)
places = st.floats(-200, 900)
sides = st.floats(1, 600)


def gradient(width: int, height: int) -> Image:
    """Red grows to the right, green downwards."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.dstack([columns * 255 // width, rows * 255 // height, rows * 0]).astype(np.uint8)


@given(places, places, sides, angles, st.integers(2, 400))
def test_the_corners_of_a_cut_are_the_region_s(
    x: float, y: float, side: float, angle: float, pixels: int
) -> None:
    matrix = Region(x, y, side, angle).matrix(pixels)
    last = pixels - 1
    corners = moved(np.array([[0.0, 0], [last, 0], [last, last], [0, last]]), matrix)
    assert np.allclose(corners.mean(axis=0), (x, y))
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    assert np.allclose(edges, side * last / pixels)
    across = corners[1] - corners[0]
    assert math.isclose(
        math.remainder(math.atan2(across[1], across[0]) - angle, math.tau), 0, abs_tol=1e-6
    )


@given(angles, st.lists(st.tuples(places, places), min_size=2, max_size=9))
def test_points_lie_in_the_square_around_them_when_it_is_upright(
    angle: float, points: list[tuple[float, float]]
) -> None:
    square = upright_box(np.array(points), angle)
    centre = turned(np.array([square.x, square.y]), angle)
    away = np.abs(turned(np.array(points), angle) - centre)
    assert away.max() <= square.side / 2 + 1e-6


@given(angles, st.lists(st.tuples(places, places), min_size=1, max_size=9))
def test_turning_there_and_back_changes_nothing(
    angle: float, points: list[tuple[float, float]]
) -> None:
    before = np.array(points)
    assert np.allclose(turned(turned(before, angle), -angle), before)


def test_a_region_that_is_not_turned_is_a_piece_of_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    cut = Closeup(image, [40, 30, 40, 40]).upright(Region(59.5, 49.5, 40), 40)
    assert np.array_equal(cut, image[30:70, 40:80])


def test_a_quarter_turn_turns_the_piece() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    cut = Closeup(image, [40, 30, 40, 40]).upright(Region(59.5, 49.5, 40, math.pi / 2), 40)
    assert np.array_equal(cut, np.rot90(image[30:70, 40:80]))


def test_outside_the_picture_its_border_is_repeated() -> None:
    image = gradient(100, 100)
    cut = Closeup(image, [0, 0, 60, 60]).upright(Region(9.5, 9.5, 60), 60)
    assert np.array_equal(cut[:20, 20:], np.broadcast_to(image[0, :40], (20, 40, 3)))
    assert np.array_equal(cut[20:, :20], np.broadcast_to(image[:40, :1], (40, 20, 3)))


@pytest.mark.parametrize("side", [300, 900])
def test_a_large_face_is_reduced_without_being_moved(side: int) -> None:
    image = gradient(2 * side, 2 * side)
    face = [side // 2, side // 2, side, side]
    cut = Closeup(image, face).upright(Region(side - 0.5, side - 0.5, side), 100)
    piece = image[side // 2 : side // 2 + side, side // 2 : side // 2 + side]
    expected = np.asarray(cv2.resize(piece, (100, 100), interpolation=cv2.INTER_AREA), int)
    assert np.abs(cut.astype(int) - expected).max() <= 2


@given(places, places, sides)
def test_a_region_is_inside_where_its_four_sides_are(x: float, y: float, side: float) -> None:
    left, top, right, bottom = x - side / 2, y - side / 2, x + side / 2, y + side / 2
    inside = left >= 0 and top >= 0 and right <= 640 and bottom <= 480
    assert Region(x, y, side).inside(640, 480) == inside


def test_the_box_of_points() -> None:
    assert box_of(np.array([[3.0, 9.0], [5.0, 4.0]])) == (3, 4, 2, 5)
