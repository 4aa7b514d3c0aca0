"""BlazeFace's second opinion: confirms Haar's faces, and adds those that Haar missed.

The thresholds come from 1,756 crawled photographs; docs/faces.md says what they do on others.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Literal, NamedTuple

from pipeline.sample import Image
from stages.face.blazeface import SAME_FACE, SIDE, BlazeFace, Detection
from stages.face.crop import Box, Square, overlap
from stages.face.model_files import BLAZEFACE, installed

CERTAIN = 0.9  # score from which every detection was a face
SURE = 0.75  # score from which nearly every detection was a face
UNSURE = 0.5  # score from which some detections were faces; lower scores are ignored
GLANCE = 96  # pixels of the network's input for a quick look at the whole picture
# Close looks: pixels of the network's input, and side of the square looked at as a multiple of the
# box's width.
QUICK = (64, 2.0)
CLOSE = (SIDE, 3.0)
# Share of the long side added on each side of a tight crop, because the network needs room around a
# face.
BORDER = 0.25
# A face that only BlazeFace sees is added to a known one if it is over this many times as wide.
LARGER = 1.3
# Haar's box relative to BlazeFace's: width ÷ width, and how far its centre lies higher, as a share
# of the side (medians over the photographs in which both see the face).
WIDER, HIGHER = 1.1, 0.12

Detector = Literal["haar", "blazeface"]


class Face(NamedTuple):
    """Where a face is, and who found it."""

    box: list[int]
    """Left, top, width, height in pixels, as Haar draws it: width = height, tight around brows
    and chin. In a tight crop it may reach outside the picture.
    """
    detector: Detector


class SecondLook:
    """BlazeFace on one H×W×3 RGB picture. Each view of it is searched once, when it is needed."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def confirmed(self, boxes: list[list[int]], everyone: bool = False) -> list[Face]:
        """Those of Haar's faces that BlazeFace sees too, in their order.

        Unless `everyone`, close looks stop at the first confirmed face; later ones count only if
        the glance saw them.
        """
        faces: list[Face] = []
        for box in boxes:
            seen_at_glance = any(_same(box, far.box) for far in self._glance if far.score >= SURE)
            if seen_at_glance or ((everyone or not faces) and self._is_sure(box)):
                faces.append(Face(box, "haar"))
        return faces

    def added(self, known: list[Face], everyone: bool = False) -> list[Face]:
        """Faces that only BlazeFace sees: where none is known, where they are clearly larger than
        the first known one, or for everyone.
        """
        faces: list[Face] = []
        least = LARGER * known[0].box[2] if known and not everyone else 0
        for far in self._glance if least else self._thorough:
            if _is_new(_as_haar(far.box), known + faces, least):
                surer = self._surer(far)
                if surer and _is_new(_as_haar(surer.box), known + faces, least):
                    faces.append(Face(_as_haar(surer.box), "blazeface"))
        return faces

    @cached_property
    def _glance(self) -> list[Detection]:
        """The whole picture at a glance: faces of at least a ninth of its long side."""
        return self._look(GLANCE, 0.0)

    @cached_property
    def _thorough(self) -> list[Detection]:
        """The whole picture, and where no face is sure, with a border too."""
        whole = self._look(SIDE, 0.0)
        if any(far.score >= SURE for far in whole):
            return whole
        return sorted(whole + self._look(SIDE, BORDER), reverse=True)

    def _look(self, side: int, border: float) -> list[Detection]:
        """The whole picture with a border of `border` × its long side on every side."""
        height, width = self._image.shape[:2]
        whole = round(max(height, width) * (1 + 2 * border))
        square = Square((width - whole) // 2, (height - whole) // 2, whole)
        return _network(side)(self._image, square, UNSURE)

    def _look_closely(self, box: Box | list[int], side: int, scale: float) -> Detection | None:
        """Search a square `scale` × as wide as the box; returns the detection that matches the box,
        or None.
        """
        left, top, width, height = box
        around = max(1, round(scale * width))
        corner = round(left + (width - around) / 2), round(top + (height - around) / 2)
        near = _network(side)(self._image, Square(*corner, around), UNSURE)
        return next((detection for detection in near if _same(box, detection.box)), None)

    def _is_sure(self, box: list[int]) -> bool:
        """Whether the QUICK or else the CLOSE look shows a face."""
        found = (self._look_closely(box, *look) for look in (QUICK, CLOSE))
        return any(near is not None and near.score >= SURE for near in found)

    def _surer(self, far: Detection) -> Detection | None:
        """The surer one of a detection and of what a close look at it shows. None where that shows
        no face, or where the network is not sure either time.
        """
        if far.score >= CERTAIN:
            return far
        near = self._look_closely(far.box, *CLOSE)
        best = max(near, far) if near else None
        return best if best and best.score >= SURE else None


def _is_new(box: list[int], faces: list[Face], least: float) -> bool:
    """Whether a box is wider than `least` and not the same face as any of `faces`."""
    return box[2] > least and not any(_same(box, face.box) for face in faces)


def _same(box: Box | list[int], other: Box | list[int]) -> bool:
    return overlap(box, other) > SAME_FACE


def _as_haar(box: Box) -> list[int]:
    """The box that Haar would draw, of a box of BlazeFace's."""
    left, top, width, height = box
    side = round(WIDER * width)
    centre = (left + width / 2, top + height / 2 - HIGHER * height)
    return [round(centre[0] - side / 2), round(centre[1] - side / 2), side, side]


_loaded = threading.local()


def _network(side: int) -> BlazeFace:
    """One for each thread and input side, loaded on first use, which takes 3 ms."""
    name = f"side {side}"
    if not hasattr(_loaded, name):
        setattr(_loaded, name, BlazeFace(installed(BLAZEFACE), side))
    network: BlazeFace = getattr(_loaded, name)
    return network
