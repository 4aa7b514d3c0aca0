"""The 68 landmarks of a face (dlib's model), in the numbering of iBUG 300-W."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image
from pipeline.trouble import Trouble
from stages.face.closeup import Closeup, Points, Region, moved
from stages.face.model_files import LANDMARKS, installed

try:
    from stages.face import landmark_trees
except ImportError:
    COMPILED = False
else:
    COMPILED = True

LIPS = slice(48, 68)  # outer lips 48–59, inner lips 60–67
BOX = 200  # pixels of the box that the model gets
CUT = 1.5  # side of the upright cut that it lies in, in sides of the box

Landmarks = NDArray[np.int64]
"""68 × 2 points (x, y) in pixels of the picture."""
Boxes = NDArray[np.int32]
"""N × 4: first and last pixels (left, top, right, bottom)."""
LandmarkModel = Callable[[Image, Boxes], Landmarks]
"""N × 68 × 2 points for boxes in an H×W×3 uint8 RGB picture."""


def find_landmarks(image: Image, face: list[int]) -> Landmarks:
    """The landmarks of the face in a box (left, top, width, height) of an H×W×3 uint8 RGB picture.

    One look at the picture as it is. A point may lie outside the picture. Raises Trouble where
    the model file is missing or damaged.
    """
    left, top, width, height = face
    box = np.array([[left, top, left + width - 1, top + height - 1]], np.int32)
    (points,) = _model()(image, box)
    return np.asarray(points)


def upright_landmarks(
    closeup: Closeup, face: Region, shifts: Sequence[tuple[float, float]]
) -> Points:
    """N × 68 × 2 points in pixels of the picture, for N shifts (x, y) of the box, in its sides.

    `face` is a box as dlib's own detector gives it, turned with the face.
    """
    around, pixels = Region(face.x, face.y, CUT * face.side, face.angle), round(CUT * BOX)
    cut, matrix = closeup.upright(around, pixels), around.matrix(pixels)
    corners = np.rint((np.array(shifts) + (CUT - 1) / 2) * BOX).astype(np.int32)
    return moved(_model()(cut, np.hstack([corners, corners + BOX - 1])), matrix)


@cache
def _model() -> LandmarkModel:
    """One model per process: 70 MB, a tenth of a second to load."""
    return (compiled_model if COMPILED else dlib_model)(installed(LANDMARKS))


def compiled_model(path: Path) -> LandmarkModel:
    """The model by our own compiled module, which gives dlib's points in a third of the time.

    Raises Trouble where `path` holds no such model.
    """
    try:
        trees = landmark_trees.load(np.memmap(path, np.uint8, "r"))
    except ValueError as error:
        raise _no_model(path) from error

    def points(image: Image, boxes: Boxes) -> Landmarks:
        height, width = image.shape[:2]
        found = landmark_trees.points(trees, np.ascontiguousarray(image), height, width, boxes)
        return np.frombuffer(found, np.int32).reshape(len(boxes), -1, 2).astype(np.int64)

    return points


def dlib_model(path: Path) -> LandmarkModel:
    """The model by dlib. Raises Trouble where `path` holds no such model."""
    import dlib

    try:
        predictor = dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise _no_model(path) from error

    def points(image: Image, boxes: Boxes) -> Landmarks:
        shapes = [predictor(image, dlib.rectangle(*box)) for box in boxes.tolist()]
        return np.array([[(point.x, point.y) for point in shape.parts()] for shape in shapes])

    return points


def _no_model(path: Path) -> Trouble:
    return Trouble(f"{path} is no landmark model: delete it and run `make setup`")
