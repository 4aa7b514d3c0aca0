"""The demo's set: made from one portrait, the same each time, spoilt files included."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from pipeline.context import Context
from pipeline.pictures import decode
from pipeline.sample import Image, Reject, Sample
from stages.commands.sample_data import SampleData, vary
from stages.dedupe import Dedupe
from stages.demo.portrait import POSES, Points, portrait, warp
from stages.face.landmarks import find_landmarks
from stages.faces import Faces
from stages.lips import Lips
from stages.normalize import Normalize
from stages.screen import Screen

NO_CONTEXT = cast(Context, None)  # the command makes files and asks nothing of its surroundings
FACE = [176, 66, 95, 95]
SPOILT = {
    "smile/truncated.jpg": "truncated",
    "smile/not_an_image.jpg": "not_an_image",
    "none/banner_11_to_1.jpg": "odd_aspect",
    "none/no_face.jpg": "no_face",
    "smile/original.jpg": "duplicate",
    "smile/exact_copy.jpg": "",
    "pouting/empty.jpg": "empty",
}


@cache
def posed(label: str, seed: int) -> Image:
    image, points = portrait()
    return warp(image, points, POSES[label](points, np.random.default_rng(seed)))


@cache
def found(label: str, seed: int) -> Points:
    """The landmarks that dlib sees in the warped portrait."""
    return find_landmarks(posed(label, seed), FACE).astype(np.float64)


def width(points: Points) -> float:
    return float(points[54, 0] - points[48, 0])


def opening(points: Points) -> float:
    """Between the inner lips."""
    return float(points[66, 1] - points[62, 1])


def lift(points: Points) -> float:
    """How far the corners lie above the middle of the upper lip."""
    return float(points[51, 1] - points[[48, 54], 1].mean())


@pytest.mark.parametrize("seed", range(4))
def test_an_open_mouth_is_open(seed: int) -> None:
    others = [opening(found(label, seed)) for label in ("none", "pouting", "smile")]
    assert opening(found("openmouth", seed)) > 1.5 * max(others)


@pytest.mark.parametrize("seed", range(4))
def test_a_pout_is_narrow_and_a_smile_is_wide(seed: int) -> None:
    none = width(found("none", seed))
    assert width(found("pouting", seed)) < none - 1
    assert width(found("smile", seed)) > none + 3


@pytest.mark.parametrize("seed", range(4))
def test_the_corners_of_a_smile_are_up_and_of_no_expression_level(seed: int) -> None:
    assert lift(found("smile", seed)) > lift(found("none", seed)) + 1


@pytest.mark.parametrize("seed", range(4))
def test_without_expression_the_mouth_is_shut(seed: int) -> None:
    assert opening(found("none", seed)) <= 3


def test_a_warp_that_moves_nothing_changes_nothing() -> None:
    image, points = portrait()
    assert np.abs(warp(image, points, points).astype(int) - image).max() <= 1


def test_a_warp_moves_the_mouth_and_leaves_the_top_of_the_portrait() -> None:
    image, _ = portrait()
    apart = np.abs(posed("openmouth", 0).astype(int) - image).sum(axis=2)
    assert apart[100:200, 180:270].max() > 100
    assert apart[:32].mean() < 5


def test_poses_move_landmarks_of_the_mouth_and_never_the_given_ones() -> None:
    points = portrait()[1]
    before = points.copy()
    for pose in POSES.values():
        moved = pose(points, np.random.default_rng(0))
        assert np.array_equal(points, before)
        assert not np.array_equal(moved[48:68], points[48:68])
        assert np.array_equal(moved[17:31], points[17:31])


def test_varied_pictures_are_square_and_differ() -> None:
    image = portrait()[0]
    seen = [vary(image, np.random.default_rng(seed)) for seed in range(6)]
    for picture in seen:
        assert picture.dtype == np.uint8
        assert picture.shape[0] == picture.shape[1]
        assert 280 <= picture.shape[0] < 640
    assert len({picture.tobytes() for picture in seen}) == 6
    again = vary(image, np.random.default_rng(0))
    assert np.array_equal(again, seen[0])


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo") / "raw"
    assert SampleData(output=folder, count=2, video=False).run(NO_CONTEXT) == 0
    yield folder


def test_there_are_as_many_pictures_as_asked_for_and_the_spoilt_ones(made: Path) -> None:
    good = {f"{label}/{label}_{number:03d}.jpg" for label in POSES for number in range(2)}
    assert contents(made).keys() == good | SPOILT.keys()


def test_the_same_seed_gives_the_same_bytes_and_a_larger_count_only_adds(
    made: Path, tmp_path: Path
) -> None:
    SampleData(output=tmp_path / "again", count=3, video=False).run(NO_CONTEXT)
    again, before = contents(tmp_path / "again"), contents(made)
    assert len(again) == len(before) + 4
    assert {key: again[key] for key in before} == before


def test_another_seed_gives_other_pictures(made: Path, tmp_path: Path) -> None:
    SampleData(output=tmp_path / "other", count=1, seed=1, video=False).run(NO_CONTEXT)
    other, before = contents(tmp_path / "other"), contents(made)
    names = [f"{label}/{label}_000.jpg" for label in POSES]
    assert all(other[name] != before[name] for name in names)
    assert all(other[name] == before[name] for name in SPOILT)


def fate(folder: Path, key: str) -> tuple[str, Sample | None]:
    """The reason why a file does not reach the last stage before labels are needed, or ""."""
    sample = Sample(key, key.split("/")[0], folder / key)
    try:
        return "", Lips()(Faces()(Screen()(Normalize()(sample))))
    except Reject as reject:
        return reject.reason, None


def test_every_good_picture_yields_a_mouth(made: Path) -> None:
    for label in POSES:
        for number in range(2):
            reason, mouth = fate(made, f"{label}/{label}_{number:03d}.jpg")
            assert reason == ""
            assert mouth is not None
            assert mouth.image.shape == (128, 128, 3)


@pytest.mark.parametrize("key", SPOILT)
def test_every_spoilt_file_is_dropped_for_its_reason(key: str, made: Path) -> None:
    if SPOILT[key] not in ("duplicate", ""):
        assert fate(made, key)[0] == SPOILT[key]
        return
    twins = ("smile/original.jpg", "smile/exact_copy.jpg")
    samples = [Normalize()(Sample(twin, "smile", made / twin)) for twin in twins]
    (decision,) = (one for one in Dedupe()(samples) if one.sample.key == key)
    assert (decision.reject.reason if decision.reject else "") == SPOILT[key]


def test_the_original_is_the_portrait_itself(made: Path) -> None:
    image = decode((made / "smile/original.jpg").read_bytes())
    assert np.abs(image.astype(int) - portrait()[0]).mean() < 2
