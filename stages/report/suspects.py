"""Which labels are likely wrong: what a quick model, asked about pictures it has not seen, says."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image

SIDE = 48  # pixels of a crop that features are taken from
FOLDS = 5
FEWEST = 2 * FOLDS  # pictures of a label that can be judged
STRENGTH = 0.05  # inverse of the regularization: few pictures, 900 features

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Opinion:
    """What a model says of a picture's own label; `place` is the picture's place in the input."""

    place: int
    label: str
    likely: str
    confidence: float  # that the model has in the picture's own label


@dataclass(frozen=True)
class Suspicion:
    """What was found: the suspects, and the model's opinion of everyone it judged.

    `left_out` are labels with too few pictures to be judged.
    """

    suspects: Sequence[Opinion]
    judged: Sequence[Opinion]
    left_out: Sequence[str]


def find_suspects(
    crops: Sequence[Image], labels: Sequence[str], groups: Sequence[str]
) -> Suspicion:
    """Judge N square crops (uint8 RGB, any side) by labels of a model that did not see their group.

    The model is a logistic regression on each crop's histogram of gradients, mirrored too: it
    learns thousands of pictures in seconds. cleanlab's confident learning (Northcutt et al.,
    arXiv 1911.00068) tells which labels are mistakes, the least likely first.
    """
    counts = {label: labels.count(label) for label in sorted(set(labels))}
    known = [label for label, count in counts.items() if count >= FEWEST]
    left_out = [label for label in counts if label not in known]
    places = [place for place, label in enumerate(labels) if label in known]
    if len(known) < 2:
        return Suspicion([], [], sorted(counts))
    from cleanlab.filter import find_label_issues

    classes = np.array([known.index(labels[place]) for place in places])
    pictures = [_small(crops[place]) for place in places]
    shares = _out_of_fold(pictures, classes, [groups[place] for place in places])
    issues = find_label_issues(
        classes, shares, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    judged = [
        Opinion(
            place,
            known[classes[row]],
            known[int(shares[row].argmax())],
            float(shares[row, classes[row]]),
        )
        for row, place in enumerate(places)
    ]
    return Suspicion([judged[row] for row in issues], judged, left_out)


def _small(crop: Image) -> NDArray[np.uint8]:
    """A crop as 48×48 grey values."""
    import cv2

    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _features(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """900 numbers: histograms of gradients in the 8×8 cells of a 48×48 picture."""
    import cv2

    described = cv2.HOGDescriptor((SIDE, SIDE), (16, 16), (8, 8), (8, 8), 9).compute(grey)
    return np.asarray(described, np.float32).ravel()


def _out_of_fold(
    pictures: Sequence[NDArray[np.uint8]], classes: NDArray[np.int64], groups: Sequence[str]
) -> Shares:
    """N×L shares of each picture by a model that learned from other groups alone."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold

    upright = np.stack([_features(picture) for picture in pictures])
    mirrored = np.stack([_features(np.ascontiguousarray(p[:, ::-1])) for p in pictures])
    shares = np.full((len(classes), classes.max() + 1), 1 / (classes.max() + 1))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a label that one group holds wholly
        for seen, held in folds.split(upright, classes, groups):
            model = LogisticRegression(C=STRENGTH, max_iter=300)
            both = np.vstack([upright[seen], mirrored[seen]])
            model.fit(both, np.tile(classes[seen], 2))
            judged = model.predict_proba(upright[held]) + model.predict_proba(mirrored[held])
            shares[np.ix_(held, model.classes_)] = judged / 2
    return shares
