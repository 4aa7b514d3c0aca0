"""Faces by BlazeFace: Google's short-range network."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image
from stages.face.crop import Box, Square, overlaps
from stages.face.network import Network

SIDE = 128  # of the published network's input, in pixels
GRIDS = ((8, 2), (16, 6))  # of anchors: pixels from cell to cell, anchors in a cell
SAMPLES = 2  # for a pixel of the input, along each side: enough, and quick for any picture
SAME_FACE = 0.3  # intersection over union from which two detections are one face


class Detection(NamedTuple):
    """A face, and how sure the network is of it."""

    score: float
    """0 to 1."""
    box: Box
    """Left, top, width, height in pixels of the picture, width = height; it may reach outside."""


class BlazeFace:
    """The network, for inputs of `side` × `side` pixels, a multiple of 16. Not for two threads at
    once.

    It has no fully connected layer, so it also takes smaller inputs than the published 128 pixels:
    with 64 pixels it sees no face under a sixth of the square, in a quarter of the time.
    """

    def __init__(self, path: Path, side: int = SIDE) -> None:
        """Raises Trouble where `path` holds no network."""
        self._network, self._side = Network(path, side), side

    def __call__(self, image: Image, square: Square, least: float) -> list[Detection]:
        """Detections of at least the score `least`, best first, in a square of an H×W×3 RGB
        picture. Where the square reaches outside, the picture's edge is repeated.
        """
        outputs = self._network(_sampled(image, square, self._side), 1 / 127.5, -1)
        logits = outputs["classificators"].reshape(-1).astype(float)
        scores = 1 / (1 + np.exp(-logits.clip(-80, 80)))
        likely = np.flatnonzero(scores >= least)
        boxes = outputs["regressors"].reshape(-1, 16)[likely, :4].astype(float)
        boxes[:, :2] += _anchors(self._side)[likely] - boxes[:, 2:] / 2
        boxes *= square.side / self._side
        boxes[:, :2] += (square.left, square.top)
        return _merged(scores[likely], boxes)


def _sampled(image: Image, square: Square, side: int) -> Image:
    """The square as side×side×3 uint8."""
    import cv2

    samples = side * SAMPLES
    scale = square.side / samples
    first = scale / 2 - 0.5  # centre of the first sample, from the first pixel's
    placed = np.array([[scale, 0, square.left + first], [0, scale, square.top + first]])
    way = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    sampled = cv2.warpAffine(
        image, placed, (samples, samples), flags=way, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.resize(sampled, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


@cache
def _anchors(side: int) -> NDArray[np.float64]:
    """N×2: the centres (x, y) that the network's boxes are relative to, in input pixels."""
    grids = []
    for stride, each in GRIDS:
        line = np.arange(stride / 2, side, stride)
        cells = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
        grids.append(np.repeat(cells, each, axis=0))
    return np.concatenate(grids)


def _merged(scores: NDArray[np.float64], boxes: NDArray[np.float64]) -> list[Detection]:
    """One detection for each face, best first: the mean of its N×4 boxes, weighted by score."""
    detections = []
    left = np.argsort(-scores, kind="stable")
    while left.size:
        same = overlaps(boxes[left[0]], boxes[left]) > SAME_FACE
        group = left[same]
        box = np.average(boxes[group], axis=0, weights=scores[group]).tolist()
        detections.append(Detection(float(scores[left[0]]), tuple(box)))
        left = left[~same]
    return detections
