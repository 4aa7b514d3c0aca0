"""Where the mouth of a face is, by dlib's landmarks and FaceMesh together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image
from stages.face.closeup import Closeup, Points, Region, box_of, turned
from stages.face.crop import Box, overlaps
from stages.face.landmarks import LIPS, find_landmarks, upright_landmarks
from stages.face.mesh import Mesh, find_mesh

Model = Literal["dlib", "mesh"]

# From Haar's face box to the box around the mesh's points, in sides of Haar's box: shift right,
# shift down, side. The side is a tenth more than the median over the photographs, so that FaceMesh
# makes a second pass on most faces, which brings its points nearer to those set by people.
TO_MESH = (0.006, 0.07, 1.035)
TO_DLIB = (0.014, 0.026, 0.97)  # the same from the mesh's box to the box that dlib's model wants
# Shifts of that box, in its sides: none; and to its sides and corners, all by 0.05.
MIDDLE = [(0.0, 0.0)]
AROUND = [(0.0, 0.05), (0.05, 0.0), (-0.05, 0.0), (0.0, -0.05)]
AROUND += [(0.035, 0.035), (-0.035, 0.035), (0.035, -0.035), (-0.035, -0.035)]
ASK_ONCE = 0.8  # overlap with FaceMesh's mouth from which dlib is asked only once
ALIKE = 0.8  # overlap from which mouths are averaged
OF_MESH = 2 / 3  # weight of FaceMesh's mouth, beside dlib's
# FaceMesh is trusted if a square this many times the mesh's box lies inside the picture.
MARGIN = 1.25


@dataclass(frozen=True)
class Mouth:
    """The mouth of a face, and what the models say of the face. All in pixels of the picture."""

    lips: Points
    """20 × 2 points: dlib's 48–67, moved to the weighted mean of both models where `whole`;
    FaceMesh's outer edge where it is used alone.
    """
    mesh: Mesh
    whole: bool
    """Whether the face and what is around it lie inside the picture."""
    landmarks: Points | None = None
    """dlib's 68 × 2 points, with `lips` in place of its own."""
    agreement: float | None = None
    """Overlap of the upright squares around dlib's uncorrected mouth and FaceMesh's, 0 to 1."""


@dataclass(frozen=True)
class Correction:
    """How a full look's mouth differs from a glance's at the same picture.

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
        """The lips of another glance, moved and stretched in the same way."""
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
    whole = Region(around.x, around.y, MARGIN * around.side).inside(image.shape[1], image.shape[0])
    if model == "mesh":
        return Mouth(mesh.lips, mesh, whole)
    landmarks, agreement = _landmarks(closeup, _derived(around, TO_DLIB), mesh, whole)
    if whole:
        landmarks[LIPS] = _fitted(landmarks[LIPS], _mean(landmarks[LIPS], mesh.lips))
    return Mouth(landmarks[LIPS], mesh, whole, landmarks, agreement)


def glance(image: Image, face: list[int], model: Model) -> Points:
    """The landmarks (68 × 2), or FaceMesh's lips (20 × 2), by one look of one model."""
    expected = _expected(face)
    if model == "mesh":
        return find_mesh(Closeup(image, face), expected, passes=1).lips
    wanted = _derived(expected, TO_DLIB)
    side = round(wanted.side)
    left, top = round(wanted.x - side / 2), round(wanted.y - side / 2)
    return find_landmarks(image, [left, top, side, side]).astype(float)


def _expected(face: list[int]) -> Region:
    """The square in which the mesh's points are expected."""
    left, top, width, height = face
    return _derived(Region(left + width / 2, top + height / 2, max(width, height)), TO_MESH)


def _derived(region: Region, to: tuple[float, float, float]) -> Region:
    """Another square, shifted and scaled by `to` (right, down, side; in sides of `region`)."""
    right, down = to[0] * region.side, to[1] * region.side
    cosine, sine = math.cos(region.angle), math.sin(region.angle)
    x = region.x + right * cosine - down * sine
    y = region.y + right * sine + down * cosine
    return Region(x, y, to[2] * region.side, region.angle)


def _landmarks(closeup: Closeup, face: Region, mesh: Mesh, whole: bool) -> tuple[Points, float]:
    """The points by dlib, and the overlap of its mouth with the mesh's.

    If the models disagree or the face is not whole, dlib is asked with shifted boxes too. The
    result is the mean of the answers that resemble the one nearest to the mesh's mouth.
    """

    def upright(points: Points) -> Points:
        return turned(points[..., LIPS, :], face.angle)

    mesh_lips = turned(mesh.lips, face.angle)
    found = upright_landmarks(closeup, face, MIDDLE if whole else MIDDLE + AROUND)
    near = agreement(upright(found), mesh_lips)
    if whole and near[0] < ASK_ONCE:
        found = np.concatenate([found, upright_landmarks(closeup, face, AROUND)])
        near = agreement(upright(found), mesh_lips)
    best = int(near.argmax())
    alike = agreement(upright(found), upright(found[best])) >= ALIKE
    return found[alike].mean(axis=0), float(near[best])


def agreement(first: Points, second: Points) -> NDArray[np.float64]:
    """Intersection over union of the squares around mouths (… × 20 × 2 points each), 0 to 1."""
    return overlaps(_squares(first), _squares(second))


def _squares(lips: Points) -> NDArray[np.float64]:
    low, high = lips.min(axis=-2), lips.max(axis=-2)
    sides = np.repeat((high - low).max(axis=-1, keepdims=True), 2, axis=-1)
    return np.concatenate([(low + high - sides) / 2, sides], axis=-1)


def _mean(lips: Points, mesh_lips: Points) -> Box:
    pairs = zip(box_of(lips), box_of(mesh_lips), strict=True)
    left, top, width, height = ((1 - OF_MESH) * ours + OF_MESH * its for ours, its in pairs)
    return left, top, width, height


def _fitted(points: Points, box: Box) -> Points:
    """The points moved and stretched so that the box around them is `box`."""
    left, top, width, height = box_of(points)
    stretch = np.array([box[2] / max(width, 1), box[3] / max(height, 1)])
    return np.asarray((points - (left, top)) * stretch + box[:2])
