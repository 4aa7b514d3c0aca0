"""FaceMesh and dlib on a real portrait: upright, turned, cut off, from boxes that lie badly."""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sample import Image
from stages.demo.portrait import portrait
from stages.face.closeup import Closeup, Points, Region, box_of
from stages.face.landmarks import LIPS
from stages.face.mesh import find_mesh
from stages.face.mouth import Correction, Mouth, agreement, find_mouth

FACE = [176, 66, 95, 95]

lips = st.lists(
    st.tuples(st.floats(0, 300), st.floats(0, 300)), min_size=20, max_size=20, unique=True
).map(np.array)


@cache
def person() -> Image:
    return portrait()[0]


@cache
def mouth() -> Mouth:
    return find_mouth(person(), FACE, "dlib")


def tilted(degrees: float) -> tuple[Image, np.ndarray]:
    """The portrait, turned around the face's middle, and the 2×3 matrix of that."""
    matrix = cv2.getRotationMatrix2D((223, 113), degrees, 1)
    turned = cv2.warpAffine(person(), matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8), matrix


def there(points: Points, matrix: np.ndarray) -> Points:
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def test_both_models_see_the_same_mouth() -> None:
    assert mouth().mesh.presence > 0.99
    assert mouth().whole
    assert agreement(mouth().mesh.lips, mouth().lips) > 0.8
    landmarks = mouth().landmarks
    assert landmarks is not None and np.array_equal(landmarks[LIPS], mouth().lips)


@pytest.mark.parametrize("degrees", [-50, -25, 25, 50])
def test_a_tilted_face_has_its_mouth_where_the_upright_one_has_it(degrees: int) -> None:
    image, matrix = tilted(degrees)
    found = find_mouth(image, FACE, "dlib")
    assert found.mesh.roll - mouth().mesh.roll == pytest.approx(-degrees, abs=6)
    assert agreement(found.lips, there(mouth().lips, matrix)) > 0.85


@pytest.mark.parametrize("shift", [(-20, 0), (20, 0), (0, -20), (0, 20), (15, 15)])
def test_a_box_that_lies_badly_gives_the_same_mouth(shift: tuple[int, int]) -> None:
    box = [FACE[0] + shift[0], FACE[1] + shift[1], *FACE[2:]]
    assert agreement(find_mouth(person(), box, "dlib").lips, mouth().lips) > 0.9


def test_a_face_that_the_picture_cuts_off_keeps_dlib_s_mouth() -> None:
    tight = np.ascontiguousarray(person()[70:172, 175:275])
    found = find_mouth(tight, [1, -4, 95, 95], "dlib")
    assert not found.whole
    assert agreement(found.lips + np.array([175, 70]), mouth().lips) > 0.8


def test_of_face_mesh_alone_there_are_no_landmarks() -> None:
    found = find_mouth(person(), FACE, "mesh")
    assert found.landmarks is None and found.agreement is None
    assert found.lips.shape == (20, 2)


def test_the_network_is_sure_of_a_face_only() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    mesh = find_mesh(Closeup(noise, [50, 50, 100, 100]), Region(100, 100, 100))
    assert mesh.presence < 0.5


def test_a_mirrored_face_is_turned_the_other_way() -> None:
    mirrored = np.ascontiguousarray(person()[:, ::-1])
    box = [512 - FACE[0] - FACE[2], *FACE[1:]]
    found = find_mouth(mirrored, box, "mesh").mesh
    assert found.yaw == pytest.approx(-mouth().mesh.yaw, abs=4)
    assert found.roll == pytest.approx(-mouth().mesh.roll, abs=3)


@given(lips)
def test_a_mouth_agrees_with_itself_alone(points: Points) -> None:
    assert agreement(points, points) == pytest.approx(1)
    assert agreement(points, points + 1000) == 0


@given(lips, lips)
def test_a_correction_leads_from_one_mouth_s_box_to_the_other_s(
    glance: Points, full: Points
) -> None:
    if min(box_of(glance)[2:]) < 1:
        return
    corrected = Correction.between(glance, full)(glance)
    assert box_of(corrected) == pytest.approx(box_of(full), abs=1e-6)
    assert np.allclose(Correction()(glance), glance)


@given(lips, st.floats(-3, 3))
def test_agreement_is_the_same_from_both_sides(points: Points, angle: float) -> None:
    moved = points * 1.1 + (20 * math.cos(angle), 20 * math.sin(angle))
    assert agreement(points, moved) == pytest.approx(agreement(moved, points))
