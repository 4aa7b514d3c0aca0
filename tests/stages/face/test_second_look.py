"""What BlazeFace adds to Haar's faces, and which of them it drops."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.pictures import decode
from pipeline.sample import Image, Reject, Sample
from stages.demo.portrait import portrait
from stages.face.crop import overlap
from stages.face.second_look import Face, SecondLook
from stages.face_crop import FaceCrop
from stages.faces import Faces

FACE = [174, 65, 99, 99]  # Haar's box in the portrait
WALL = [20, 300, 90, 90]  # no face


def turned(degrees: float) -> Image:
    """The portrait turned around the middle of its face."""
    turn = cv2.getRotationMatrix2D((223.5, 114.5), degrees, 1)
    picture = cv2.warpAffine(portrait()[0], turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(picture, np.uint8)


def reduced(image: Image, side: int) -> Image:
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize("degrees", [20, 45, 90])
def test_a_tilted_face_that_haar_misses_is_found(degrees: int) -> None:
    with pytest.raises(Reject, match="no_face"):
        Faces(second_look="none").look(turned(degrees))
    (face,) = Faces().look(turned(degrees))
    assert face.detector == "blazeface"
    assert overlap(face.box, FACE) > 0.6


def test_a_face_that_touches_the_edges_is_found() -> None:
    tight = np.ascontiguousarray(portrait()[0][75:165, 180:270])
    with pytest.raises(Reject, match="no_face"):
        Faces(second_look="none").look(tight)
    (face,) = Faces().look(tight)
    assert face.detector == "blazeface"
    assert overlap(face.box, [-6, -10, 99, 99]) > 0.6


def test_the_crop_of_a_face_that_reaches_outside_lies_inside() -> None:
    tight = np.ascontiguousarray(portrait()[0][75:165, 180:270])
    seen = Faces()(Sample("a.jpg", "", Path(), pixels=tight))
    assert min(seen.facts["face"][:2]) < 0
    left, top, side, _ = FaceCrop(scale=0.7, size=0)(seen).facts["crop"]
    assert left >= 0 and top >= 0 and left + side <= 90 and top + side <= 90


def test_the_box_is_the_one_that_haar_would_draw() -> None:
    (face,) = SecondLook(portrait()[0]).added([])
    assert face.detector == "blazeface"
    assert overlap(face.box, FACE) > 0.75
    assert face.box[2] == face.box[3]


def test_what_haar_found_keeps_its_box_where_both_see_it() -> None:
    look = SecondLook(portrait()[0])
    assert look.confirmed([FACE]) == [Face(FACE, "haar")]
    assert look.added([Face(FACE, "haar")], everyone=True) == []


def test_a_box_that_shows_no_face_is_dropped() -> None:
    look = SecondLook(portrait()[0])
    assert look.confirmed([WALL]) == []
    assert look.confirmed([WALL, FACE]) == [Face(FACE, "haar")]


def test_a_clearly_larger_face_that_haar_misses_is_preferred() -> None:
    picture = np.hstack([reduced(portrait()[0], 300), turned(30)[:300, 70:370]])
    assert Faces(second_look="none").look(picture)[0].box[2] < 70
    faces = Faces().look(picture)
    assert [face.detector for face in faces] == ["blazeface", "haar"]
    assert overlap(faces[0].box, [FACE[0] + 230, *FACE[1:]]) > 0.6


def two_of_a_size() -> Image:
    """Upright on the left, tilted on the right."""
    return np.hstack([picture[:300, 70:370] for picture in (portrait()[0], turned(30))])


def test_of_two_faces_of_a_size_haar_s_stays() -> None:
    (face,) = Faces().look(two_of_a_size())
    assert face.detector == "haar"
    assert face.box[0] < 300


def test_for_everyone_the_faces_of_both_count() -> None:
    faces = Faces().look(two_of_a_size(), everyone=True)
    assert sorted(face.detector for face in faces) == ["blazeface", "haar"]
    areas = [face.box[2] * face.box[3] for face in faces]
    assert areas == sorted(areas, reverse=True)


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket", "coins", "retina", "page"])
def test_things_and_animals_are_no_faces(name: str) -> None:
    from skimage import data

    picture = np.asarray(getattr(data, name)(), np.uint8)
    if picture.ndim == 2:
        picture = np.dstack([picture] * 3)
    with pytest.raises(Reject, match="no_face"):
        Faces().look(np.ascontiguousarray(picture))


def test_everyone_of_a_studio_is_found_whatever_their_skin(photographs: Path) -> None:
    """Haar alone misses two dark-skinned men, in both of their pictures."""
    pictures = [
        decode(path.read_bytes())
        for person in ("042", "082", "004", "005")
        for path in sorted((photographs / "london").glob(f"*/{person}_*.jpg"))
    ]
    assert len(pictures) == 8
    found = [Faces().look(picture)[0] for picture in pictures]
    assert [face.detector for face in found] == ["blazeface"] * 4 + ["haar"] * 4
    assert all(face.box[2] > 200 for face in found)


def test_tight_face_crops_are_found(photographs: Path) -> None:
    """Of 50 crops Haar alone finds one or two, mostly not where the face is."""
    paths = sorted((photographs / "crops").glob("*/*.jpg"))[::12]
    sides = []
    for path in paths:
        picture = decode(path.read_bytes())
        (face, *_) = Faces().look(picture)
        sides.append(face.box[2] / min(picture.shape[:2]))
    assert len(sides) > 40
    assert min(sides) > 0.6
