"""BlazeFace's opinion: of the faces that Haar found, and of pictures in which it found none.

The thresholds come from 1,756 crawled photographs and are measured again in docs/faces.md.
"""

from __future__ import annotations

import threading
from typing import Literal, NamedTuple

from pipeline.sample import Image
from stages.face.blazeface import SAME_FACE, BlazeFace, Detection
from stages.face.crop import Box, Square, overlap
from stages.face.model_files import BLAZEFACE, installed

SURE = 0.75  # nearly every detection from this score on is a face
UNSURE = 0.5  # from this score on a detection is looked at closely
CLOSELY = 3.0  # side of the square that is looked at, in sides of the box
BORDER = 0.25  # of a tight crop's long side, added on all sides: the network needs room
LARGER = 1.3  # sides: by how much a face must be larger to be preferred to Haar's
SIDE, RISE = 1.1, 0.12  # Haar's box of the same face, in sides of BlazeFace's: its side, and how
# much higher its centre lies (medians over the photographs in which both see the face)

Detector = Literal["haar", "blazeface"]


class Face(NamedTuple):
    """Where a face is, and who found it."""

    box: list[int]
    """Left, top, width, height in pixels, as Haar draws it: width = height, tight around brows
    and chin. In a tight crop it may reach outside the picture.
    """
    detector: Detector


def second_look(image: Image, boxes: list[list[int]], everyone: bool = False) -> list[Face]:
    """Faces of an H×W×3 RGB picture in which Haar found `boxes` (largest first), largest first.

    Haar's boxes stay where BlazeFace sees the face too: of the largest such face, or of everyone.
    Faces that only BlazeFace sees are added where there are none else, where they are clearly
    larger, or for everyone.
    """
    seen = _look(image, border=0.0)
    faces: list[Face] = []
    for box in boxes:
        known = any(_same(box, other.box) for other in seen if other.score >= SURE)
        if known or ((everyone or not faces) and _is_face(image, box)):
            faces.append(Face(box, "haar"))
    if not faces:
        seen += _look(image, border=BORDER)
    least = LARGER * faces[0].box[2] if faces and not everyone else 0
    for detection in sorted(seen, reverse=True):
        if _is_new(_as_haar(detection.box), faces, least):
            best = _surer(image, detection)
            if best and _is_new(_as_haar(best.box), faces, least):
                faces.append(Face(_as_haar(best.box), "blazeface"))
    return sorted(faces, key=lambda face: (-face.box[2] * face.box[3], face.box))


def _is_face(image: Image, box: list[int]) -> bool:
    """Whether the network is sure of Haar's face when it sees little else."""
    near = _look_closely(image, box)
    return near is not None and near.score >= SURE


def _surer(image: Image, far: Detection) -> Detection | None:
    """The surer one of a detection in the whole picture and the same face seen from close by. None
    where it is not seen from there, or the network is unsure both times.
    """
    near = _look_closely(image, far.box)
    best = max(near, far) if near else None
    return best if best and best.score >= SURE else None


def _is_new(box: list[int], faces: list[Face], least: float) -> bool:
    """Whether a box is wider than `least` and none of the faces'."""
    return box[2] > least and not any(_same(box, face.box) for face in faces)


def _look(image: Image, border: float) -> list[Detection]:
    """What the network sees in the whole picture, with a border of so many long sides."""
    height, width = image.shape[:2]
    side = round(max(height, width) * (1 + 2 * border))
    return _network()(image, Square((width - side) // 2, (height - side) // 2, side), UNSURE)


def _look_closely(image: Image, box: Box | list[int]) -> Detection | None:
    """The face in a box, as the network sees it from close by; None where it sees none."""
    left, top, width, height = box
    side = max(1, round(CLOSELY * max(width, height)))
    square = Square(round(left + (width - side) / 2), round(top + (height - side) / 2), side)
    detections = _network()(image, square, UNSURE)
    return next((detection for detection in detections if _same(box, detection.box)), None)


def _same(box: Box | list[int], other: Box | list[int]) -> bool:
    return overlap(box, other) > SAME_FACE


def _as_haar(box: Box) -> list[int]:
    """The box that Haar would draw, of a box of BlazeFace's."""
    left, top, width, height = box
    side = round(SIDE * width)
    centre = (left + width / 2, top + height / 2 - RISE * height)
    return [round(centre[0] - side / 2), round(centre[1] - side / 2), side, side]


_loaded = threading.local()


def _network() -> BlazeFace:
    """One for each thread, loaded when it is first needed: 3 ms."""
    if not hasattr(_loaded, "network"):
        _loaded.network = BlazeFace(installed(BLAZEFACE))
    network: BlazeFace = _loaded.network
    return network
