"""What the newest model says of the data set's crops."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.sample import Sample
from stages.model import networks
from stages.predict.judging import CropCutter, Judged, LabelledPicture, judge
from stages.predict.mistakes import Mistake
from stages.training.intervals import wilson


@dataclass(frozen=True)
class LabelFigures:
    """A label's recall with its 95% interval, and its precision, over `count` pictures."""

    label: str
    count: int
    recall: float
    interval: tuple[float, float]
    precision: float


@dataclass(frozen=True)
class SplitFigures:
    """How a model does on one split. `confusion` counts [true][predicted]."""

    split: str
    count: int
    accuracy: float
    interval: tuple[float, float]
    by_label: Sequence[LabelFigures]
    confusion: Sequence[Sequence[int]]
    confidences: Sequence[float]
    right: Sequence[bool]
    mistakes: Sequence[Mistake]


@dataclass(frozen=True)
class JudgedRun:
    """A finished run: its labels, its epochs, and how it does on val and test."""

    name: str
    labels: Sequence[str]
    epochs: Sequence[dict[str, Any]]
    splits: Sequence[SplitFigures]


def judge_run(run: Path, held_out: Sequence[tuple[str, Sample]]) -> JudgedRun:
    """Ask a run's best weights about crops, each with its split."""
    network = networks.load(run)
    labels = list(network.description.labels)
    cutter = CropCutter(network.description.side)
    pictures = [
        LabelledPicture(sample, split) for split, sample in held_out if sample.label in labels
    ]
    judged = judge(((picture, cutter(picture)) for picture in pictures), network)
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    splits = [_figures(split, answers, labels) for split, answers in sorted(judged.items())]
    return JudgedRun(run.name, labels, [json.loads(line) for line in lines], splits)


def _figures(split: str, answers: Judged, labels: Sequence[str]) -> SplitFigures:
    metrics = answers.metrics(labels)
    by_label = []
    for place, label in enumerate(labels):
        count, right = sum(metrics.confusion[place]), metrics.confusion[place][place]
        interval = wilson(right, count) if count else (0.0, 1.0)
        recall, precision = metrics.recall[label], metrics.precision[label]
        by_label.append(LabelFigures(label, count, recall, interval, precision))
    return SplitFigures(
        split,
        metrics.count,
        metrics.accuracy,
        metrics.interval,
        by_label,
        metrics.confusion,
        [float(shares.max()) for shares in answers.shares],
        [int(s.argmax()) == true for s, true in zip(answers.shares, answers.classes, strict=True)],
        answers.mistakes,
    )
