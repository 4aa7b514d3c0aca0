"""The compiled landmark model gives dlib's points, to the pixel."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import dlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sample import Image
from pipeline.trouble import Trouble
from stages.demo.portrait import portrait
from stages.face.landmarks import COMPILED, Boxes, LandmarkModel, compiled_model, dlib_model
from stages.face.model_files import LANDMARKS, installed

if COMPILED:
    from stages.face import landmark_trees

FACE = (130, 180, 379, 429)  # first and last pixels of a box around the portrait's face


@cache
def both() -> tuple[LandmarkModel, LandmarkModel]:
    """The model as it is used, and by dlib."""
    path = installed(LANDMARKS)
    return compiled_model(path), dlib_model(path)


def same_points(image: Image, boxes: Boxes) -> None:
    ours, dlibs = both()
    assert np.array_equal(ours(image, boxes), dlibs(image, boxes))


def test_the_model_is_compiled_where_the_tests_run() -> None:
    assert COMPILED


@pytest.mark.parametrize("looks", [1, 2, 9, 100])
def test_a_portrait_gives_the_points_of_dlib(looks: int) -> None:
    random = np.random.default_rng(looks)
    moved = random.integers(-40, 41, (looks, 4)) + FACE
    same_points(portrait()[0], moved.astype(np.int32))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 200),
    st.integers(1, 200),
    st.lists(st.integers(-300, 300), min_size=4, max_size=4),
)
def test_noise_gives_the_points_of_dlib(seed: int, height: int, width: int, box: list[int]) -> None:
    """Wherever the box lies: outside the picture, or with its corners the wrong way round."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    same_points(noise, np.array([box], np.int32))


def test_a_part_of_a_picture_gives_the_points_of_a_copy() -> None:
    ours, part = both()[0], portrait()[0][40:, 30:480]
    boxes = np.array([FACE], np.int32) - (30, 40, 30, 40)
    boxes = boxes.astype(np.int32)
    assert np.array_equal(ours(part, boxes), ours(part.copy(), boxes))


def test_threads_do_not_disturb_each_other() -> None:
    ours, picture = both()[0], portrait()[0]
    boxes = np.array([FACE] * 5, np.int32) + np.arange(5, dtype=np.int32)[:, None]
    expected = ours(picture, boxes)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: ours(picture, boxes), range(8)):
            assert np.array_equal(found, expected)


@pytest.fixture(scope="module", params=[(1, 2, 20), (3, 4, 50)])
def small_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of five points that dlib has learnt from one picture."""
    depth, cascades, trees = request.param
    points = dlib.points([dlib.point(*at) for at in [(180, 260), (330, 260), (255, 330)] * 2][:5])
    shape = dlib.full_object_detection(dlib.rectangle(*FACE), points)
    options = dlib.shape_predictor_training_options()
    options.tree_depth, options.cascade_depth = depth, cascades
    options.num_trees_per_cascade_level, options.feature_pool_size = trees, 60
    options.num_threads = 1
    path = tmp_path_factory.mktemp("model") / "small.dat"
    learnt = dlib.train_shape_predictor([portrait()[0]] * 2, [[shape]] * 2, options)
    learnt.save(str(path))
    return path


def test_models_of_other_sizes_give_the_points_of_dlib(small_model: Path) -> None:
    boxes = np.array([FACE, (100, 100, 300, 320)], np.int32)
    ours, dlibs = compiled_model(small_model), dlib_model(small_model)
    found = ours(portrait()[0], boxes)
    assert found.shape == (2, 5, 2) and np.array_equal(found, dlibs(portrait()[0], boxes))


def test_a_file_that_is_cut_short_is_refused(small_model: Path) -> None:
    whole = small_model.read_bytes()
    for length in {0, 1, 2, 3, *range(4, len(whole), 97), len(whole) - 1}:
        with pytest.raises(ValueError):
            landmark_trees.load(whole[:length])
    with pytest.raises(ValueError):
        landmark_trees.load(whole + b"\0")


def test_a_spoilt_file_is_refused_or_gives_some_points(small_model: Path) -> None:
    """Whatever its bytes say, nothing outside the model's memory is read."""
    whole, random = small_model.read_bytes(), np.random.default_rng(0)
    image, boxes = bytes(300), np.array([[0, 0, 9, 9]], np.int32)
    refused = 0
    for place in random.integers(0, len(whole), 500).tolist():
        spoilt = bytearray(whole)
        spoilt[place] ^= int(random.integers(1, 256))
        try:
            model = landmark_trees.load(spoilt)
        except ValueError:
            refused += 1
        else:
            assert len(landmark_trees.points(model, image, 10, 10, boxes)) == 5 * 8
    assert refused > 50


@pytest.mark.parametrize("model", [compiled_model, dlib_model])
def test_another_file_is_named(tmp_path: Path, model: object) -> None:
    assert callable(model)
    path = tmp_path / "other.dat"
    path.write_bytes(os.urandom(64))
    with pytest.raises(Trouble, match=r"other\.dat is no landmark model: delete it"):
        model(path)


def test_what_does_not_fit_is_refused_not_read(small_model: Path) -> None:
    model, boxes = landmark_trees.load(small_model.read_bytes()), bytes(16)
    for picture, height, width, given_boxes in [
        (bytes(299), 10, 10, boxes),
        (bytes(300), 0, 10, boxes),
        (bytes(300), 10, -10, boxes),
        (bytes(300), 10, 10, b""),
    ]:
        with pytest.raises(ValueError):
            landmark_trees.points(model, picture, height, width, given_boxes)
    with pytest.raises(ValueError):
        landmark_trees.points(object(), bytes(300), 10, 10, boxes)  # type: ignore[arg-type]
