"""The largest face, its landmarks and its mouth, found in a real portrait by the real models."""

from __future__ import annotations

import csv
import pickle
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.__main__ import main
from pipeline.pictures import decode, encode
from pipeline.sample import Image, Reject, Sample
from stages.demo.portrait import portrait
from stages.face.closeup import box_of
from stages.face.crop import overlap, square_around
from stages.face.landmarks import LIPS, find_landmarks
from stages.face.model_files import BLAZEFACE, FACE_MESH, HAAR, installed, load_cascade
from stages.face.mouth import Correction, Model
from stages.faces import Faces
from stages.lips import Lips
from stages.normalize import Normalize


@cache
def person() -> Image:
    return portrait()[0]


def scaled(side: int) -> Image:
    way = cv2.INTER_AREA if side < 512 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(person(), (side, side), interpolation=way), dtype=np.uint8)


def grey(image: Image) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def sample(image: Image) -> Sample:
    return Sample("smile/one.jpg", "smile", Path("one.jpg"), {"format": "JPEG"}, pixels=image)


def test_the_face_is_where_it_is() -> None:
    result = Faces()(sample(person()))
    assert overlap(result.facts["face"], [176, 66, 95, 95]) > 0.7
    assert result.facts["faces"] == 1
    assert result.facts["detector"] == "haar"
    assert result.facts["format"] == "JPEG"
    assert result.image is person()


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("small_first", [False, True])
@pytest.mark.parametrize("side_by_side", [False, True])
def test_of_two_faces_the_larger_is_taken(
    side_by_side: bool, small_first: bool, exact: bool
) -> None:
    small = np.full((512, 300, 3), 128, np.uint8)
    small[:300] = scaled(300)
    parts = [small, person()]
    if not side_by_side:
        parts = [part.transpose(1, 0, 2) if part is small else part for part in parts]
        parts[0] = np.full((300, 512, 3), 128, np.uint8)
        parts[0][:, :300] = scaled(300)
    picture = np.concatenate(parts if small_first else parts[::-1], axis=1 if side_by_side else 0)
    picture = np.ascontiguousarray(picture)
    result = Faces(exact=exact, second_look="none")(sample(picture))
    expected = [176, 66, 95, 95]
    if small_first:
        expected[0 if side_by_side else 1] += 300
    assert overlap(result.facts["face"], expected) > 0.7
    assert result.facts["faces"] == (2 if exact else 1)  # the fast search looks no further
    assert Faces(exact=exact)(sample(picture)).facts["face"] == result.facts["face"]


@pytest.mark.parametrize("side", [256, 300, 400, 512, 700, 1000])
def test_the_exact_and_the_fast_search_find_the_same_face(side: int) -> None:
    fast, exact = Faces().find(grey(scaled(side))), Faces(exact=True).find(grey(scaled(side)))
    assert overlap(fast[0], exact[0]) > 0.6
    assert overlap(fast[0], [round(value * side / 512) for value in (176, 66, 95, 95)]) > 0.5


def test_boxes_come_largest_first() -> None:
    picture = np.hstack([scaled(512), scaled(512)[:, ::-1], np.pad(scaled(300), PADDING)])
    areas = [box[2] * box[3] for box in Faces(exact=True).find(grey(picture))]
    assert len(areas) == 3
    assert areas == sorted(areas, reverse=True)


PADDING = ((0, 212), (0, 0), (0, 0))


@pytest.mark.parametrize("shape", [(300, 300), (40, 40), (1, 1), (600, 20)])
def test_a_picture_without_a_face_is_rejected(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for image in (noise, np.zeros_like(noise)):
        with pytest.raises(Reject) as caught:
            Faces()(sample(image))
        assert caught.value.reason == "no_face"


def test_faces_under_the_least_size_are_not_seen() -> None:
    assert Faces(min_size=60).find(grey(person()))
    assert Faces(min_size=200).find(grey(person())) == []


def test_the_exact_search_sees_all_that_the_published_one_sees() -> None:
    picture = grey(person())
    seen = load_cascade(installed(HAAR)).detectMultiScale(picture, 1.3, 5)
    assert [box[2] < 200 for box in seen] == [True]
    assert Faces(exact=True, min_size=200).find(picture) == seen.tolist()


@pytest.mark.parametrize("neighbors", [0, 5])
@pytest.mark.parametrize("factor", [1.1, 1.3, 2.0])
def test_size_by_size_gives_what_opencv_gives_for_all_sizes(factor: float, neighbors: int) -> None:
    picture = grey(np.hstack([scaled(512), np.pad(scaled(300), PADDING)]))
    seen = load_cascade(installed(HAAR)).detectMultiScale(picture, factor, neighbors)
    found = Faces(exact=True, scale_factor=factor, min_neighbors=neighbors).find(picture)
    assert found and sorted(found) == sorted(np.asarray(seen).tolist())


def test_all_faces_are_seen_where_all_are_wanted() -> None:
    picture = grey(np.hstack([scaled(512), np.pad(scaled(300), PADDING)]))
    assert [len(Faces().find(picture, everyone)) for everyone in (False, True)] == [1, 2]


def test_fast_and_exact_search_agree_on_the_largest_face_of_photographs(photographs: Path) -> None:
    """Wherever the exact one finds a face wider than 15% of the short side. The folders are those
    of whole portraits: in crops as tight as the face most of what Haar finds is no face.
    """
    folders = [photographs / name for name in ("london", "interfaces")]
    pictures = sorted(path for folder in folders for path in folder.rglob("*.jpg"))[::3]
    compared = apart = 0
    for path in pictures:
        picture = grey(decode(path.read_bytes()))
        exact = Faces(exact=True).find(picture)
        if exact and exact[0][2] > 0.15 * min(picture.shape):
            compared += 1
            fast = Faces().find(picture)
            apart += not fast or overlap(fast[0], exact[0]) < 0.8
    assert compared > len(pictures) // 2
    assert apart == 0


def lips_of(image: Image, lips: Lips) -> Sample:
    return lips(Faces()(sample(image)))


def test_the_crop_is_one_and_a_half_of_the_box_around_all_lip_points() -> None:
    assert list(range(68))[LIPS] == list(range(48, 68))
    facts = lips_of(person(), Lips()).facts
    points = np.array(facts["landmarks"])
    assert points.shape == (68, 2)
    mouth = points[48:68]
    (left, top), (right, bottom) = mouth.min(axis=0), mouth.max(axis=0)
    crop_left, crop_top, side, same = facts["crop"]
    assert side == same == round(1.5 * max(right - left, bottom - top))
    assert abs(crop_left + side / 2 - (left + right) / 2) <= 0.5
    assert abs(crop_top + side / 2 - (top + bottom) / 2) <= 0.5
    assert facts["padded"] == 0


def test_landmarks_lie_on_the_face_in_their_order() -> None:
    points = find_landmarks(person(), [176, 66, 95, 95])
    assert points.dtype == np.int64
    right_eye, left_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    nose, mouth, chin = points[30], points[48:68].mean(axis=0), points[8]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_eye[1] < nose[1] < mouth[1] < chin[1]
    assert points[48, 0] < points[54, 0]


def test_the_native_size_is_cut_without_resampling() -> None:
    result = lips_of(person(), Lips(size=0))
    left, top, side, _ = result.facts["crop"]
    assert np.array_equal(result.image, person()[top : top + side, left : left + side])


@pytest.mark.parametrize("size", [60, 128])
def test_a_stored_size_is_met(size: int) -> None:
    native, result = lips_of(person(), Lips(size=0)), lips_of(person(), Lips(size=size))
    assert result.image.shape == (size, size, 3)
    assert result.facts["crop"] == native.facts["crop"]
    means = [one.image.reshape(-1, 3).mean(axis=0) for one in (native, result)]
    assert np.abs(means[0] - means[1]).max() < 3


def test_a_mouth_at_the_edge_is_moved_inside_and_stays_square() -> None:
    picture = np.ascontiguousarray(person()[:166])
    result = lips_of(picture, Lips(size=0))
    mouth = np.array(result.facts["landmarks"])[48:68]
    left, top, side, same = result.facts["crop"]
    assert side == same == round(1.5 * np.ptp(mouth, axis=0).max())
    assert mouth.mean(axis=0)[1] + side / 2 > 166
    assert top + side == 166
    assert result.image.shape == (side, side, 3)
    assert np.array_equal(result.image, picture[top:, left : left + side])
    assert result.facts["padded"] == 0


def test_a_square_larger_than_the_picture_repeats_the_border() -> None:
    result = lips_of(person(), Lips(scale=14, size=0))
    left, top, side, _ = result.facts["crop"]
    assert side > 512
    assert result.facts["padded"] == pytest.approx(1 - 512**2 / side**2, abs=1e-4)
    assert (result.image[: -top + 1, -left] == person()[0, 0]).all()


def test_a_mouth_of_few_pixels_is_too_small() -> None:
    with pytest.raises(Reject) as caught:
        lips_of(person(), Lips(min_mouth=60))
    assert caught.value.reason == "mouth_too_small"
    points = np.array(caught.value.measured["landmarks"])
    assert caught.value.measured["mouth"] == np.ptp(points[48:68, 0]) < 60
    with pytest.raises(Reject, match="mouth_too_small"):
        lips_of(scaled(220), Lips())


def test_what_the_models_say_of_a_face_is_in_the_facts() -> None:
    facts = lips_of(person(), Lips()).facts
    assert facts["presence"] > 0.99
    assert facts["agreement"] > 0.7
    assert facts["sharpness"] > 0.3
    assert abs(facts["yaw"]) < 20 and abs(facts["roll"]) < 10


@pytest.mark.parametrize("landmarks", ["dlib", "mesh"])
def test_a_wall_in_a_face_box_is_implausible(landmarks: Model) -> None:
    wall = np.random.default_rng(0).integers(90, 130, (300, 300, 3), dtype=np.uint8)
    with pytest.raises(Reject) as caught:
        Lips(landmarks=landmarks)(sample(wall).with_facts(face=[80, 80, 140, 140]))
    assert caught.value.reason == "implausible_face"
    assert caught.value.measured["presence"] < 0.9


def test_two_mouths_that_lie_apart_are_implausible() -> None:
    with pytest.raises(Reject) as caught:
        lips_of(person(), Lips(min_agreement=0.99))
    assert caught.value.reason == "implausible_face"
    assert caught.value.measured["agreement"] < 0.99


def test_a_mouth_out_of_focus_is_dropped() -> None:
    soft = np.asarray(cv2.GaussianBlur(scaled(1000), (0, 0), 14), np.uint8)
    with pytest.raises(Reject) as caught:
        Lips(min_presence=0, min_agreement=0)(sample(soft).with_facts(face=FACE_AT_1000))
    assert caught.value.reason == "blurred_mouth"
    sharp = Lips()(sample(scaled(1000)).with_facts(face=FACE_AT_1000)).facts["sharpness"]
    assert caught.value.measured["sharpness"] < 0.12 < sharp


FACE_AT_1000 = [344, 129, 186, 186]


@pytest.mark.parametrize("name", ["wild-a6c9", "wild-3831"])
def test_a_profile_gives_no_crop(name: str, photographs: Path) -> None:
    (path,) = (photographs / "wild").glob(f"{name}*")
    with pytest.raises(Reject) as caught:
        Lips()(Faces()(Normalize()(Sample(path.name, "", path))))
    assert caught.value.reason in ("turned_away", "implausible_face")
    assert abs(caught.value.measured["yaw"]) > 35


def test_face_mesh_alone_needs_no_dlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    lips = Lips(landmarks="mesh")
    result = lips_of(person(), lips)
    assert [path.name for path in lips.models()] == [FACE_MESH]
    assert "landmarks" not in result.facts and len(result.facts["lips"]) == 20
    monkeypatch.undo()
    assert overlap(result.facts["crop"], lips_of(person(), Lips()).facts["crop"]) > 0.8


def test_a_glance_with_its_correction_cuts_what_a_full_look_cuts() -> None:
    found = Faces()(sample(person()))
    full, quick = Lips()(found), Lips().glance(found, Correction())
    lips = [np.array(result.facts["landmarks"], float)[LIPS] for result in (quick, full)]
    corrected = Lips().glance(found, Correction.between(*lips))
    assert overlap(corrected.facts["crop"], full.facts["crop"]) > 0.97
    assert overlap(quick.facts["crop"], full.facts["crop"]) > 0.7


def test_crops_lie_where_people_clicked(photographs: Path) -> None:
    """A quarter of the points of london-points, in its pictures reduced to 720 pixels."""
    overlaps = []
    for file in sorted((photographs / "london-points" / "none").glob("*.tem"))[::4]:
        numbers = [float(word) for word in file.read_text().split()]
        mouth = np.array(numbers[1:379]).reshape(189, 2)[87:109] * 720 / 1350
        path = photographs / "london" / "none" / f"{file.stem}.jpg"
        result = Lips()(Faces()(Normalize()(Sample(path.name, "", path))))
        square = square_around(box_of(mouth), 1.5, 720, 720)
        overlaps.append(overlap(result.facts["crop"], square.box))
    assert len(overlaps) == 15
    assert min(overlaps) > 0.82 and np.median(overlaps) > 0.92


def test_mouths_of_tight_crops_lie_where_they_were_annotated(photographs: Path) -> None:
    with open(photographs / "crops" / "landmarks.csv", newline="") as file:
        rows = list(csv.reader(file))[1::30]
    overlaps = []
    for name, numbers in rows:
        path = photographs / "crops" / name
        try:
            result = Lips()(Faces()(Normalize()(Sample(path.name, "", path))))
        except Reject:
            continue
        mouth = np.array(numbers.split(","), float).reshape(68, 2)[LIPS]
        height, width = result.facts["height"], result.facts["width"]
        square = square_around(box_of(mouth), 1.5, width, height)
        overlaps.append(overlap(result.facts["crop"], square.box))
    assert len(overlaps) >= 0.9 * len(rows)
    assert np.median(overlaps) > 0.95 and np.percentile(overlaps, 10) > 0.8


def test_a_wider_scale_shows_more() -> None:
    narrow, wide = lips_of(person(), Lips(scale=1.0)), lips_of(person(), Lips(scale=2.0))
    assert wide.facts["crop"][2] == pytest.approx(2 * narrow.facts["crop"][2], abs=1)


@pytest.mark.parametrize("stage", [Faces(scale_factor=1.1), Lips(size=60)])
def test_stages_travel_to_other_processes(stage: Faces | Lips) -> None:
    assert pickle.loads(pickle.dumps(stage)) == stage  # noqa: S301
    assert all(path.is_file() for path in stage.models())


def test_the_fingerprint_follows_the_models_in_use() -> None:
    assert [path.name for path in Faces(second_look="none").models()] == [HAAR]
    assert [path.name for path in Faces().models()] == [HAAR, BLAZEFACE]


def test_a_folder_of_an_earlier_version_is_redone_once_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def faces() -> str:
        where = ["--raw", str(tmp_path / "raw"), "--processed", str(tmp_path / "processed")]
        assert main(["faces", *where, "--workers", "0"]) == 0
        return capsys.readouterr().out

    (tmp_path / "raw" / "smile").mkdir(parents=True)
    (tmp_path / "raw" / "smile" / "a.jpg").write_bytes(encode(person()))
    with monkeypatch.context() as earlier:
        earlier.setattr(Faces, "version", 5)
        assert "will be redone" not in faces()
    why = "faces or its models differ in this version of the program: 1 pictures will be redone"
    assert why in faces()
    assert "faces: 1 in, 1 kept, 0 rejected (up to date)" in faces()


def test_senseless_settings_are_refused() -> None:
    for wrong in ({"scale_factor": 1.0}, {"min_neighbors": -1}, {"min_size": 0}):
        with pytest.raises(ValueError, match="scale_factor must be over 1"):
            Faces(**wrong)
    with pytest.raises(ValueError, match="scale must be over 0"):
        Lips(scale=0)
    with pytest.raises(ValueError, match="size 0 or more"):
        Lips(size=-1)
