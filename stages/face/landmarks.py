"""The 68 landmarks of a face (dlib), in the numbering of iBUG 300-W."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image
from stages.face.model_files import LANDMARKS, installed

LIPS = slice(48, 68)  # outer lips 48–59, inner lips 60–67

Points = NDArray[np.int64]
"""68 × 2 points (x, y) in pixels of the picture."""


def find_landmarks(image: Image, face: list[int]) -> Points:
    """The landmarks of the face in a box (left, top, width, height) of an H×W×3 uint8 RGB picture.

    A point may lie outside the picture. Raises Trouble where the model file is missing.
    """
    import dlib

    left, top, width, height = face
    box = dlib.rectangle(left, top, left + width - 1, top + height - 1)
    shape = _predictor()(image, box)
    return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.int64)


@cache
def _predictor() -> Any:
    """One predictor per process: 100 MB, half a second to load."""
    import dlib

    return dlib.shape_predictor(str(installed(LANDMARKS)))
