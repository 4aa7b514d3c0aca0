"""Faces followed from frame to frame, and their shares averaged over time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.sample import Facts, Image, Reject
from stages.face.closeup import Points
from stages.face.crop import overlap
from stages.face.landmarks import LIPS
from stages.face.mouth import Correction
from stages.predict.chain import Chain, Crop

GIVE_UP = 4  # searches in a row without a face that was there


@dataclass
class Track:
    """A face that is followed.

    `missed` counts the searches in a row that did not find it; `middle` is where the middle of
    its landmarks was when the box was last moved. Once its mouth has been judged, `fault` is why
    it is not usable ("" where it is), and `correction` makes a glance as good as a full look.
    """

    number: int
    box: list[int]
    detector: str
    missed: int = 0
    middle: Any = None
    fault: str | None = None
    correction: Correction = field(default_factory=Correction)

    @property
    def face(self) -> Facts:
        """What the chain cuts by."""
        return {"face": self.box, "detector": self.detector}

    def follow(self, points: Any) -> None:
        """Move the box as far as the landmarks (N×2) moved."""
        middle = np.mean(points, axis=0)
        if self.middle is not None:
            right, down = np.rint(middle - self.middle).astype(int).tolist()
            if right or down:
                self.box = [self.box[0] + right, self.box[1] + down, *self.box[2:]]
                self.middle = np.add(self.middle, (right, down))
        else:
            self.middle = middle


class Tracker:
    """Finds faces in every n-th frame and follows them by their landmarks in between."""

    def __init__(self, chain: Chain, every: int) -> None:
        self._chain = chain
        self._every = every
        self._seen = 0
        self._tracks: list[Track] = []
        self._next = 0

    def __call__(self, image: Image) -> list[tuple[int, Crop]]:
        """For each face the number it keeps from frame to frame, and its crop."""
        if self._chain.faces is None:
            return [(0, self._chain.cut(image, {}))]
        if self._seen % self._every == 0 or any(track.missed for track in self._tracks):
            self._tracks = list(self._found(image))
        self._seen += 1
        crops = [(track.number, self._crop(image, track)) for track in self._tracks]
        return crops or [(-1, Crop({}, reason="no_face"))]

    def _crop(self, image: Image, track: Track) -> Crop:
        """The crop of a face: judged in the frame in which it was found, only followed then."""
        if track.fault:
            return Crop(track.face, reason=track.fault)
        if track.fault is None:
            crop = self._judged(image, track)
        else:
            crop = self._chain.cut(image, track.face, track.correction)
        points = _points(crop)
        if points is not None:
            track.follow(points)
        return crop

    def _judged(self, image: Image, track: Track) -> Crop:
        """The crop by a full look, which a glance is compared with."""
        crop = self._chain.cut(image, track.face)
        track.fault = crop.reason
        full, glance = _points(crop), _points(self._chain.cut(image, track.face, Correction()))
        if full is not None and glance is not None:
            lips = LIPS if len(full) == 68 else slice(None)
            track.correction = Correction.between(glance[lips], full[lips])
        return crop

    def _found(self, image: Image) -> Iterator[Track]:
        """Faces of this frame.

        A face keeps the number of the one that lay in its place. A face that is missed is
        searched in the next frames too, before it is given up.
        """
        try:
            faces = self._chain.find(image)
        except Reject:
            faces = []
        old = list(self._tracks)
        for face in faces:
            box, detector = face["face"], face["detector"]
            near = max(old, key=lambda track: overlap(track.box, box), default=None)
            if near is not None and overlap(near.box, box) > 0.3:
                old.remove(near)
                yield Track(near.number, box, detector)
            else:
                yield Track(self._next, box, detector)
                self._next += 1
        if self._chain.everyone or not faces:
            for track in old:
                track.missed += 1
                if track.missed < GIVE_UP:
                    yield track


def _points(crop: Crop) -> Points | None:
    """The landmarks (68 × 2) or the lips (20 × 2) of a crop."""
    points = crop.facts.get("landmarks", crop.facts.get("lips"))
    return None if points is None else np.array(points, float)


class Smooth:
    """Averages a face's shares over time, with weights that fall to 1/e in `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._before: dict[int, tuple[float, Any]] = {}

    def __call__(self, track: int, at: float, shares: Sequence[float]) -> tuple[float, ...]:
        """The averaged shares of face number `track` at a time in seconds."""
        now = np.array(shares)
        if track in self._before and self._seconds:
            last, before = self._before[track]
            kept = math.exp(-(at - last) / self._seconds)
            now = kept * before + (1 - kept) * now
        self._before[track] = (at, now)
        return tuple(now.tolist())
