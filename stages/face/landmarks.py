"""The 68 landmarks of a face (dlib), in the numbering of iBUG 300-W."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image
from stages.face.closeup import Closeup, Points, Region, moved
from stages.face.model_files import LANDMARKS, installed

LIPS = slice(48, 68)  # outer lips 48–59, inner lips 60–67
BOX = 200  # pixels of the box that the model gets
CUT = 1.5  # side of the upright cut that it lies in, in sides of the box

Landmarks = NDArray[np.int64]
"""68 × 2 points (x, y) in pixels of the picture."""


def find_landmarks(image: Image, face: list[int]) -> Landmarks:
    """The landmarks of the face in a box (left, top, width, height) of an H×W×3 uint8 RGB picture.

    One look at the picture as it is. A point may lie outside the picture. Raises Trouble where
    the model file is missing.
    """
    import dlib

    left, top, width, height = face
    box = dlib.rectangle(left, top, left + width - 1, top + height - 1)
    return np.rint(_points(image, box)).astype(np.int64)


def upright_landmarks(
    closeup: Closeup, face: Region, shifts: Iterable[tuple[float, float]]
) -> list[Points]:
    """68 × 2 points in pixels of the picture for each shift (x, y) of the box, in its sides.

    `face` is a box as dlib's own detector gives it, turned with the face.
    """
    import dlib

    around, pixels = Region(face.x, face.y, CUT * face.side, face.angle), round(CUT * BOX)
    cut, matrix = closeup.upright(around, pixels), around.matrix(pixels)
    margin = (CUT - 1) / 2
    found = []
    for right, down in shifts:
        left, top = round((margin + right) * BOX), round((margin + down) * BOX)
        box = dlib.rectangle(left, top, left + BOX - 1, top + BOX - 1)
        found.append(moved(_points(cut, box), matrix))
    return found


def _points(image: Image, box: Any) -> Points:
    shape = _predictor()(image, box)
    return np.array([(point.x, point.y) for point in shape.parts()], dtype=float)


@cache
def _predictor() -> Any:
    """One predictor per process: 100 MB, half a second to load."""
    import dlib

    return dlib.shape_predictor(str(installed(LANDMARKS)))
