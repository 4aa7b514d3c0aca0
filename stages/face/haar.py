"""Where a Haar cascade fires in a picture: OpenCV's hits, by a faster scan where it is compiled."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stages.face.model_files import load_cascade

if TYPE_CHECKING:
    import cv2

try:
    from stages.face import haar_scan
except ImportError:
    COMPILED = False
else:
    COMPILED = True

# As haar_scan.c has them. A total is two whole numbers: how many HALF, and the rest.
STAGE = np.dtype([("stumps", "i4"), ("least", "i4", 2)])
STUMP = np.dtype(
    [("rects", "i4", (3, 4)), ("weights", "f4", 3), ("threshold", "f4"), ("under", "i4", 2)]
)
HALF = 1 << 24
UNIT = 1 << 38  # of totals: the leaves of OpenCV's frontal face are whole multiples of 1 / UNIT
MOST = 255  # stumps in a stage, for the sum of their rests to fit 32 bits
EPSILON = np.float32(1e-5)  # OpenCV takes it off the threshold of each stage
LARGEST = 1 << 16  # side of a window in pixels: a JPEG has no more


class Haar:
    """A cascade of Haar features, from OpenCV's XML. Not for two threads at once."""

    def __init__(self, path: Path, compiled: bool = COMPILED) -> None:
        """Raises Trouble where `path` holds no cascade."""
        self._path = path
        self._tables = _tables(path) if compiled else None
        self.side = self._tables.side if self._tables else self._opencv.getOriginalWindowSize()[0]
        """Of the smallest window, in pixels."""

    @cached_property
    def _opencv(self) -> cv2.CascadeClassifier:
        return load_cascade(self._path)

    def sizes(self, scale_factor: float) -> dict[int, list[float]]:
        """Sides of windows in pixels, and how many times `side` they are: as detectMultiScale
        grows them, by a small factor to the same side more than once.
        """
        return _sizes(self.side, scale_factor)

    def hits(
        self, grey: NDArray[np.uint8], scale_factor: float, least: int, most: int
    ) -> list[list[int]]:
        """Boxes (left, top, width, height) in an H×W picture, for windows of `least` to `most`
        pixels: those of detectMultiScale, called for each size by itself, before it groups them
        and clips them to the picture.
        """
        found: list[list[int]] = []
        for size, factors in self.sizes(scale_factor).items():
            if not least <= size <= min(most, *grey.shape):
                continue
            if self._tables:
                corners = np.concatenate([_scan(grey, self._tables, one) for one in factors])
            else:
                sides = (size, size)
                boxes = self._opencv.detectMultiScale(grey, scale_factor, 0, 0, sides, sides)
                corners = np.asarray(boxes, np.intp).reshape(-1, 4)[:, :2]
            found += [[left, top, size, size] for left, top in corners.tolist()]
        return found


@cache
def _sizes(side: int, scale_factor: float) -> dict[int, list[float]]:
    sizes: dict[int, list[float]] = {}
    factor = 1.0
    while (size := round(side * factor)) <= LARGEST:
        sizes.setdefault(size, []).append(factor)
        factor *= scale_factor
    return sizes


@dataclass(frozen=True)
class _Tables:
    """A cascade of upright stumps, as the scan takes it."""

    side: int
    stages: bytes
    stumps: bytes


def _scan(grey: NDArray[np.uint8], tables: _Tables, factor: float) -> NDArray[np.intp]:
    """Left and top of the hits, N×2, of windows `factor` times the cascade's own.

    The picture is reduced instead, and rounded where OpenCV rounds, in single precision.
    """
    import cv2

    scale = np.float32(factor)
    height, width = (round(float(np.float32(side) / scale)) for side in grey.shape)
    small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    step = 1 if scale >= 2 else 2
    side, stages, stumps = tables.side, tables.stages, tables.stumps
    found = haar_scan.hits(small, height, width, step, side, stages, stumps)
    corners = np.frombuffer(found, np.int32).reshape(-1, 2) * scale
    return np.asarray(np.rint(corners), np.intp)


def _tables(path: Path) -> _Tables | None:
    """None for what the scan cannot do just as OpenCV does: another file, another kind of cascade,
    weights or leaves that are no whole multiples of 1 or 1 / UNIT.
    """
    try:
        cascade = ElementTree.parse(path).getroot().find("cascade")
        if cascade is None or cascade.find("features/_/tilted") is not None:
            return None
        side = int(cascade.findtext("width", ""))
        counts = [len(weak) for weak in cascade.iterfind("stages/_/weakClassifiers")]
        thresholds = _numbers(cascade, "stages/_/stageThreshold").astype(np.float32)
        nodes = _numbers(cascade, "stages/_/weakClassifiers/_/internalNodes")
        leaves = _numbers(cascade, "stages/_/weakClassifiers/_/leafValues").astype(np.float32)
        held = [len(rects) for rects in cascade.iterfind("features/_/rects")]
        features = np.zeros((len(held), 3, 5))
        features[np.arange(3) < np.array(held)[:, None]] = _numbers(cascade, "features/_/rects/_")
        left, right = (leaves.astype(float) * UNIT).T
        _, _, feature, threshold = nodes.T
        rects = features[feature.astype(int)]
    except (ElementTree.ParseError, ValueError, IndexError):
        return None
    exact = not (rects % 1).any() and not (leaves * UNIT % 1).any() and max(counts) <= MOST
    if not exact or cascade.findtext("height") != cascade.findtext("width"):
        return None
    stumps = np.zeros(len(nodes), STUMP)
    stumps["rects"], stumps["weights"] = rects[..., :4], rects[..., 4]
    stumps["threshold"], stumps["under"] = threshold, _halves(left - right)
    stages = np.zeros(len(counts), STAGE)
    over = np.add.reduceat(right, np.cumsum([0, *counts[:-1]]))
    least = np.ceil((thresholds[:, 0] - EPSILON).astype(float) * UNIT) - over
    stages["stumps"], stages["least"] = counts, _halves(least)
    return _Tables(side, stages.tobytes(), stumps.tobytes())


def _numbers(node: ElementTree.Element, path: str) -> NDArray[np.float64]:
    """The numbers in each element there, one row each."""
    return np.array([(one.text or "").split() for one in node.iterfind(path)], float)


def _halves(totals: NDArray[np.float64]) -> NDArray[np.int64]:
    """N×2, of N whole numbers."""
    whole = totals.astype(np.int64)
    return np.stack([whole // HALF, whole % HALF], axis=1)
