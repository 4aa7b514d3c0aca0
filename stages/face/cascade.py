"""A Haar cascade from OpenCV's XML, and the tables that the compiled scan reads.

The two structs of haar_scan.c, 4 bytes a field, in the order of memory:

  Stump  ┌──────────────────────────┬───────────┬───────────┬──────────┐
         │ rect[3][4]               │ weight[3] │ threshold │ high low │  72 bytes
         │ left top width height ×3 │           │           │          │
         └──────────────────────────┴───────────┴───────────┴──────────┘
  Stage  ┌────────┬──────────┐
         │ stumps │ high low │  12 bytes
         └────────┴──────────┘

A stump compares the weighted sum of its rectangles with its threshold. A window below it adds
`high low` to the stage's total; the window passes the stage if the total reaches the stage's own
`high low`. Both are whole numbers, high · HALF + low, so no order of adding rounds differently.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

STAGE = np.dtype([("stumps", "i4"), ("total", "i4", 2)])
STUMP = np.dtype(
    [("rects", "i4", (3, 4)), ("weights", "f4", 3), ("threshold", "f4"), ("total", "i4", 2)]
)
HALF = 1 << 24
UNIT = 1 << 38  # of totals: the leaves of OpenCV's frontal face are whole multiples of 1 / UNIT
MOST_STUMPS = 255  # in a stage, for the sum of their `low` to fit 32 bits
EPSILON = np.float32(1e-5)  # OpenCV subtracts it from the threshold of each stage


@dataclass(frozen=True)
class Cascade:
    """N stages of S stumps together; a stump's feature is up to three weighted rectangles."""

    side: int
    """Of its square window, in pixels."""
    counts: list[int]
    """Stumps in each stage."""
    least: NDArray[np.float32]
    """N: the sum of leaves that passes a stage, EPSILON already subtracted."""
    rects: NDArray[np.float64]
    """S×3×4: left, top, width, height in the window."""
    weights: NDArray[np.float64]
    """S×3."""
    thresholds: NDArray[np.float64]
    """S."""
    leaves: NDArray[np.float32]
    """S×2: what a window adds below the threshold, and what it adds otherwise."""

    @property
    def exact(self) -> bool:
        """Whether the scan can compute with it exactly as OpenCV does: rectangles in whole
        pixels, leaves in whole UNITs, and no stage too long.
        """
        units = self.leaves.astype(float) * UNIT
        whole = not (self.rects % 1).any() and not (self.weights % 1).any()
        return whole and not (units % 1).any() and max(self.counts) <= MOST_STUMPS


def parse(path: Path) -> Cascade | None:
    """The cascade in an XML file; None for another file or kind: tilted, not square, or trees."""
    try:
        root = ElementTree.parse(path).getroot().find("cascade")
        if root is None or root.find("features/_/tilted") is not None:
            return None
        if root.findtext("height") != root.findtext("width"):
            return None
        nodes = _numbers(root, "stages/_/weakClassifiers/_/internalNodes")
        _, _, feature, threshold = nodes.T
        rects = _rectangles(root)[feature.astype(int)]
        leaves = _numbers(root, "stages/_/weakClassifiers/_/leafValues").astype(np.float32)
        least = _numbers(root, "stages/_/stageThreshold").astype(np.float32)
        if leaves.shape != (len(nodes), 2):
            return None
        return Cascade(
            side=int(root.findtext("width", "")),
            counts=[len(stumps) for stumps in root.iterfind("stages/_/weakClassifiers")],
            least=least[:, 0] - EPSILON,
            rects=rects[..., :4],
            weights=rects[..., 4],
            thresholds=threshold,
            leaves=leaves,
        )
    except (ElementTree.ParseError, ValueError, IndexError):
        return None


def encode(cascade: Cascade) -> tuple[bytes, bytes]:
    """The N Stage and S Stump structs of an `exact` cascade."""
    below, otherwise = (cascade.leaves.astype(float) * UNIT).T
    stumps = np.zeros(len(cascade.rects), STUMP)
    stumps["rects"], stumps["weights"] = cascade.rects, cascade.weights
    stumps["threshold"], stumps["total"] = cascade.thresholds, _halves(below - otherwise)
    stages = np.zeros(len(cascade.counts), STAGE)
    # A stump adds below − otherwise, so each stage's bar is lowered by the sum of `otherwise`.
    lowered = np.add.reduceat(otherwise, np.cumsum([0, *cascade.counts[:-1]]))
    totals = np.ceil(cascade.least.astype(float) * UNIT) - lowered
    stages["stumps"], stages["total"] = cascade.counts, _halves(totals)
    return stages.tobytes(), stumps.tobytes()


def _rectangles(root: ElementTree.Element) -> NDArray[np.float64]:
    """F×3×5: the features' rectangles with their weight; a third that is missing has none."""
    counts = [len(rects) for rects in root.iterfind("features/_/rects")]
    features = np.zeros((len(counts), 3, 5))
    features[np.arange(3) < np.array(counts)[:, None]] = _numbers(root, "features/_/rects/_")
    return features


def _numbers(root: ElementTree.Element, path: str) -> NDArray[np.float64]:
    """The numbers in each element at `path`, one row each."""
    return np.array([(node.text or "").split() for node in root.iterfind(path)], float)


def _halves(totals: NDArray[np.float64]) -> NDArray[np.int64]:
    """N×2: high and low of N whole numbers."""
    whole = totals.astype(np.int64)
    return np.stack([whole // HALF, whole % HALF], axis=1)
