"""Classification metrics with confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.training.intervals import wilson


@dataclass(frozen=True)
class Metrics:
    """Of N answers. `macro_f1` is the mean over labels that have pictures; `absent` names the rest.

    `loss` is the mean cross entropy of a picture, `confusion` counts [true][predicted], `interval`
    is Wilson's 95% interval of the accuracy, `ece` the expected calibration error. Precision and
    recall are 0 where they have no pictures.
    """

    count: int
    loss: float
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    precision: dict[str, float]
    recall: dict[str, float]
    confusion: list[list[int]]
    ece: float
    absent: list[str]


def measure(logits: Tensor, classes: Tensor, labels: Sequence[str]) -> Metrics:
    """Metrics of N×L logits against N true classes, N ≥ 1."""
    size = len(labels)
    predicted = logits.argmax(1)
    confusion = torch.bincount(classes * size + predicted, minlength=size * size)
    confusion = confusion.reshape(size, size)
    right, counts = confusion.diag().double(), confusion.sum(1)
    precision = right / confusion.sum(0).clamp(min=1)
    recall = right / counts.clamp(min=1)
    f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
    return Metrics(
        count=len(classes),
        loss=F.cross_entropy(logits, classes).item(),
        accuracy=right.sum().item() / len(classes),
        interval=wilson(int(right.sum()), len(classes)),
        macro_f1=f1[counts > 0].mean().item(),
        precision=dict(zip(labels, precision.tolist(), strict=True)),
        recall=dict(zip(labels, recall.tolist(), strict=True)),
        confusion=confusion.tolist(),
        ece=calibration_error(logits, classes),
        absent=[label for label, count in zip(labels, counts.tolist(), strict=True) if not count],
    )


def calibration_error(logits: Tensor, classes: Tensor, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017): how far confidence and accuracy lie apart."""
    confidence, predicted = logits.softmax(1).max(1)
    bin_of = (confidence * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64)
    gap.index_add_(0, bin_of, (confidence - (predicted == classes).float()).double())
    return gap.abs().sum().item() / len(classes)


def table(metrics: Metrics) -> str:
    """The metrics as lines of text, a row for each label."""
    low, high = metrics.interval
    lines = [
        f"accuracy {metrics.accuracy:.1%} (95%: {low:.1%} to {high:.1%}, of {metrics.count:,}), "
        f"macro F1 {metrics.macro_f1:.3f}, loss {metrics.loss:.3f}, ECE {metrics.ece:.3f}"
    ]
    if metrics.absent:
        lines.append(f"no pictures of {', '.join(metrics.absent)}: the figures say nothing of it")
    width = max(len(label) for label in metrics.recall)
    lines.append(f"{'':<{width}}  precision  recall   predicted: {' '.join(metrics.recall)}")
    for label, row in zip(metrics.recall, metrics.confusion, strict=True):
        counts = " ".join(
            f"{count:>{len(name)}}" for name, count in zip(metrics.recall, row, strict=True)
        )
        recall = "     –" if label in metrics.absent else f"{metrics.recall[label]:>6.3f}"
        lines.append(
            f"{label:<{width}}  {metrics.precision[label]:>9.3f}  {recall}              {counts}"
        )
    return "\n".join(lines)
