"""Whether what was cut out is a mouth: what is measured, and what is too little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.sample import Facts, Image, Reject
from stages.face.mouth import Mouth

SMALL = 24  # pixels a crop is reduced to before its sharpness is measured
TURNED = 40.0  # degrees of yaw from which a mouth is seen from the side
ASIDE = 30.0  # degrees of yaw from which the models must agree more
PER_DEGREE = 0.055  # by this much for each degree
CUT_OFF = 0.2  # by how much more they must agree where the picture cuts the face off


@dataclass(frozen=True)
class Limits:
    """The least of each measure that a mouth must have."""

    presence: float
    agreement: float
    sharpness: float


def sharpness(crop: Image) -> float:
    """Variance of the Laplacian of a crop reduced to 24×24 pixels, by the crop's own variance.

    Neither its size nor its contrast counts. About 1 where a mouth is sharp, under 0.1 where its
    outline can hardly be seen.
    """
    import cv2

    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SMALL, SMALL), interpolation=cv2.INTER_AREA).astype(np.float32)
    return float(cv2.Laplacian(small, cv2.CV_32F).var() / max(1.0, small.var()))


def judge(mouth: Mouth, sharp: float, limits: Limits, facts: Facts) -> None:
    """Raise Reject, with facts, where a crop of this sharpness is no usable mouth."""
    yaw = abs(mouth.mesh.yaw)
    agreement = 1.0 if mouth.agreement is None else mouth.agreement
    least = limits.agreement + (0 if mouth.whole else CUT_OFF)
    if mouth.mesh.presence < limits.presence or agreement < least:
        raise Reject("implausible_face", **facts)
    if yaw > TURNED or agreement < limits.agreement + PER_DEGREE * (yaw - ASIDE):
        raise Reject("turned_away", **facts)
    if sharp < limits.sharpness:
        raise Reject("blurred_mouth", **facts)
