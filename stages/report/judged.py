"""What the newest model says of the data set's crops."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.sample import Sample
from stages.model import networks
from stages.predict.judging import CropCutter, LabelledPicture, judge
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


def _figures(split: str, answers: Any, labels: Sequence[str]) -> SplitFigures:
    predicted = [int(shares.argmax()) for shares in answers.shares]
    pairs = list(zip(answers.classes, predicted, strict=True))
    confusion = [
        [pairs.count((true, other)) for other in range(len(labels))] for true in range(len(labels))
    ]
    right = [true == other for true, other in pairs]
    by_label = [
        LabelFigures(
            label,
            count := sum(confusion[place]),
            confusion[place][place] / count if count else 0.0,
            wilson(confusion[place][place], count) if count else (0.0, 1.0),
            confusion[place][place] / max(1, sum(row[place] for row in confusion)),
        )
        for place, label in enumerate(labels)
    ]
    return SplitFigures(
        split,
        len(pairs),
        sum(right) / len(right),
        wilson(sum(right), len(right)),
        by_label,
        confusion,
        [float(shares.max()) for shares in answers.shares],
        right,
        answers.mistakes,
    )
