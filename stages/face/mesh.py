"""FaceMesh: 468 points of a face and how sure the network is of it."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stages.face.closeup import Closeup, Points, Region, moved, upright_box
from stages.face.model_files import FACE_MESH, installed
from stages.face.network import Network

SIDE = 192  # of the network's input, in pixels
POINTS, FLAG = "conv2d_20", "conv2d_30"  # names of the network's outputs
WIDER = 1.4  # side of the region that it looks at, in sides of its points' box (measured)
LOWER = 0.06  # and how far that lies below the box's centre, in sides of the box
PASSES = 5  # at most, until it looks at the right region: a strong tilt takes as many
STEADY = 0.05  # how far a region may be from the right one, in sides
STEADY_ANGLE = 0.1  # and in radians
# Outer edge of the lips, of the network's own numbering.
LIPS = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409]
RIGHT_EYE, LEFT_EYE = 33, 263  # outer corners
RIGHT_CHEEK, LEFT_CHEEK = 234, 454  # by the ears


@dataclass(frozen=True)
class Mesh:
    """What FaceMesh says of a region."""

    points: Points
    """468 × 2, in pixels of the picture."""
    depth: NDArray[np.float64]
    """468: how far from the camera, in pixels of the picture."""
    presence: float
    """How sure the network is that the region shows a face, 0 to 1."""

    @property
    def lips(self) -> Points:
        """20 × 2 points around the lips."""
        return self.points[LIPS]

    @cached_property
    def box(self) -> Region:
        """The square around all points, turned with the eyes' line."""
        across = self.points[LEFT_EYE] - self.points[RIGHT_EYE]
        return upright_box(self.points, math.atan2(across[1], across[0]))

    @property
    def roll(self) -> float:
        """How far the head is tilted to a shoulder, in degrees; clockwise is positive."""
        return math.degrees(self.box.angle)

    @property
    def yaw(self) -> float:
        """How far the face is turned to a side, in degrees; 0 is straight ahead."""
        across = self.points[LEFT_CHEEK] - self.points[RIGHT_CHEEK]
        deep = self.depth[LEFT_CHEEK] - self.depth[RIGHT_CHEEK]
        return math.degrees(math.atan2(float(deep), float(np.hypot(*across))))


def find_mesh(closeup: Closeup, face: Region, passes: int = PASSES) -> Mesh:
    """The mesh of a face whose points lie in about the square `face`.

    The network is asked again, `passes` times at most, until it has looked at the region that its
    own answer says it should look at. Raises Trouble where the model file is missing.
    """
    region = _seen(face)
    for _ in range(passes):
        mesh = _ask(closeup, region)
        right = _seen(mesh.box)
        if _near(region, right):
            break
        region = right
    return mesh


def _seen(box: Region) -> Region:
    """The region that the network looks at for points in a square."""
    down = LOWER * box.side
    x = box.x - down * math.sin(box.angle)
    y = box.y + down * math.cos(box.angle)
    return Region(x, y, WIDER * box.side, box.angle)


def _near(region: Region, right: Region) -> bool:
    away = max(abs(region.x - right.x), abs(region.y - right.y), abs(region.side - right.side))
    turned = math.remainder(region.angle - right.angle, math.tau)
    return away <= STEADY * right.side and abs(turned) <= STEADY_ANGLE


def _ask(closeup: Closeup, region: Region) -> Mesh:
    """One pass of the network."""
    outputs = _network()(closeup.upright(region, SIDE), 1 / 255)
    points = outputs[POINTS].reshape(468, 3).astype(float)
    presence = 1 / (1 + math.exp(-min(max(float(outputs[FLAG].item()), -80), 80)))
    at = moved(points[:, :2], region.matrix(SIDE))
    return Mesh(at, points[:, 2] * region.side / SIDE, presence)


_loaded = threading.local()


def _network() -> Network:
    """One a thread: a pass changes the network."""
    if not hasattr(_loaded, "network"):
        _loaded.network = Network(installed(FACE_MESH), SIDE)
    network: Network = _loaded.network
    return network
