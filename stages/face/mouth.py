"""Where the mouth of a face is, by dlib's landmarks and FaceMesh together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.sample import Image
from stages.face.closeup import Closeup, Points, Region, box_of, turned
from stages.face.crop import Box, overlap
from stages.face.landmarks import LIPS, find_landmarks, upright_landmarks
from stages.face.mesh import Mesh, find_mesh

Model = Literal["dlib", "mesh"]

# From a face's box, as Haar draws it, to the box around the mesh's points: how far its centre
# lies to the right and below, and its side, in sides of the first. The side is a tenth over the
# photographs' median: the network then looks twice at most faces, and nearer to people's points.
TO_MESH = (0.006, 0.07, 1.035)
TO_DLIB = (0.014, 0.026, 0.97)  # and from there to the box that dlib's model wants
SHIFTS = [(0.0, 0.05), (0.05, 0.0), (-0.05, 0.0), (0.0, -0.05)]  # of that box, in its sides
CERTAIN = 0.8  # overlap with FaceMesh's mouth from which dlib is asked only once
ALIKE = 0.8  # overlap from which mouths are averaged
OF_MESH = 2 / 3  # weight of FaceMesh's mouth, beside dlib's
SEEN = 1.25  # sides of the mesh's box that must be inside the picture for FaceMesh to be trusted


@dataclass(frozen=True)
class Mouth:
    """The mouth of a face, and what the models say of the face. All in pixels of the picture."""

    lips: Points
    """20 × 2 points: 48–67 of iBUG's numbering by dlib, the outer edge by FaceMesh alone."""
    mesh: Mesh
    whole: bool
    """Whether the face and what is around it lie inside the picture."""
    landmarks: Points | None = None
    """68 × 2 points by dlib; its lips are `lips`."""
    agreement: float | None = None
    """Overlap of the squares around dlib's mouth and FaceMesh's, turned upright, 0 to 1."""


@dataclass(frozen=True)
class Correction:
    """How the mouth of a glance lies beside that of a full look at the same picture.

    Shifts are in sides of the glance's box, `stretch` are ratios of sides.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    stretch: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def between(cls, glance: Points, full: Points) -> Correction:
        """From the lips (20 × 2) of both."""
        left, top, width, height = box_of(glance)
        full_left, full_top, full_width, full_height = box_of(full)
        width, height = max(width, 1), max(height, 1)
        shift = (full_left - left) / width, (full_top - top) / height
        return cls(shift, (full_width / width, full_height / height))

    def __call__(self, lips: Points) -> Points:
        """The lips of another glance, moved and stretched alike."""
        left, top, width, height = box_of(lips)
        right, down = self.shift[0] * width, self.shift[1] * height
        box = (left + right, top + down, width * self.stretch[0], height * self.stretch[1])
        return _fitted(lips, box)


def find_mouth(image: Image, face: list[int], model: Model) -> Mouth:
    """The mouth of the face in a box (left, top, width, height) of an H×W×3 uint8 RGB picture.

    Raises Trouble where a model's file is missing.
    """
    closeup = Closeup(image, face)
    mesh = find_mesh(closeup, _expected(face))
    around = mesh.box
    whole = Region(around.x, around.y, SEEN * around.side).inside(image.shape[1], image.shape[0])
    if model == "mesh":
        return Mouth(mesh.lips, mesh, whole)
    landmarks, agreement = _landmarks(closeup, _part(around, TO_DLIB), mesh, whole)
    if whole:
        landmarks[LIPS] = _fitted(landmarks[LIPS], _mean(landmarks[LIPS], mesh.lips))
    return Mouth(landmarks[LIPS], mesh, whole, landmarks, agreement)


def glance(image: Image, face: list[int], model: Model) -> Points:
    """The landmarks (68 × 2), or FaceMesh's lips (20 × 2), by one look of one model."""
    expected = _expected(face)
    if model == "mesh":
        return find_mesh(Closeup(image, face), expected, passes=1).lips
    wanted = _part(expected, TO_DLIB)
    side = round(wanted.side)
    left, top = round(wanted.x - side / 2), round(wanted.y - side / 2)
    return find_landmarks(image, [left, top, side, side]).astype(float)


def _expected(face: list[int]) -> Region:
    """Where the mesh's points will be about."""
    left, top, width, height = face
    return _part(Region(left + width / 2, top + height / 2, max(width, height)), TO_MESH)


def _part(region: Region, to: tuple[float, float, float]) -> Region:
    """A square that lies to the right of and below another's centre, in that one's sides."""
    right, down = to[0] * region.side, to[1] * region.side
    cosine, sine = math.cos(region.angle), math.sin(region.angle)
    x = region.x + right * cosine - down * sine
    y = region.y + right * sine + down * cosine
    return Region(x, y, to[2] * region.side, region.angle)


def _landmarks(closeup: Closeup, face: Region, mesh: Mesh, whole: bool) -> tuple[Points, float]:
    """The points by dlib, and the overlap of its mouth with the mesh's.

    Where they are in doubt, the mean over shifted boxes: of those whose mouths lie near the one
    that is nearest to the mesh's.
    """

    def near(points: Points, others: Points) -> float:
        return agreement(turned(points, face.angle), turned(others, face.angle))

    found = upright_landmarks(closeup, face, [(0.0, 0.0)])
    if not whole or near(found[0][LIPS], mesh.lips) < CERTAIN:
        found += upright_landmarks(closeup, face, SHIFTS)
    best = max(found, key=lambda points: near(points[LIPS], mesh.lips))
    alike = [points for points in found if near(points[LIPS], best[LIPS]) >= ALIKE]
    return np.mean(alike, axis=0), near(best[LIPS], mesh.lips)


def agreement(first: Points, second: Points) -> float:
    """Intersection over union of the squares around two mouths, 0 to 1."""
    return overlap(_square(box_of(first)), _square(box_of(second)))


def _square(box: Sequence[float]) -> Box:
    left, top, width, height = box
    side = max(width, height)
    return left + (width - side) / 2, top + (height - side) / 2, side, side


def _mean(lips: Points, mesh_lips: Points) -> Box:
    pairs = zip(box_of(lips), box_of(mesh_lips), strict=True)
    left, top, width, height = ((1 - OF_MESH) * ours + OF_MESH * its for ours, its in pairs)
    return left, top, width, height


def _fitted(points: Points, box: Box) -> Points:
    """The points moved and stretched so that the box around them is `box`."""
    left, top, width, height = box_of(points)
    stretch = np.array([box[2] / max(width, 1), box[3] / max(height, 1)])
    return np.asarray((points - (left, top)) * stretch + box[:2])
