"""What is said of a model's answers, and how sure one can be of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Z = 1.959964  # standard normal quantile of a 95% interval


@dataclass(frozen=True)
class Metrics:
    """Of N answers: `loss` is the mean cross entropy a picture, `confusion` counts [true][said],
    `interval` is Wilson's 95% interval of the accuracy, `ece` the expected calibration error.
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


def measure(logits: Tensor, classes: Tensor, labels: Sequence[str]) -> Metrics:
    """Metrics of N×L logits against N true classes; a label that never occurs counts as 0."""
    size = len(labels)
    said = logits.argmax(1)
    confusion = torch.bincount(classes * size + said, minlength=size * size).reshape(size, size)
    right = confusion.diag().double()
    precision = right / confusion.sum(0).clamp(min=1)
    recall = right / confusion.sum(1).clamp(min=1)
    f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
    return Metrics(
        count=len(classes),
        loss=F.cross_entropy(logits, classes).item(),
        accuracy=right.sum().item() / len(classes),
        interval=wilson(int(right.sum()), len(classes)),
        macro_f1=f1.mean().item(),
        precision=dict(zip(labels, precision.tolist(), strict=True)),
        recall=dict(zip(labels, recall.tolist(), strict=True)),
        confusion=confusion.tolist(),
        ece=calibration_error(logits, classes),
    )


def wilson(right: int, count: int) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927): honest for few answers and for shares near 1."""
    share, z2 = right / count, Z * Z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def calibration_error(logits: Tensor, classes: Tensor, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017): how far confidence and accuracy lie apart."""
    confidence, said = logits.softmax(1).max(1)
    place = (confidence * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64)
    gap.index_add_(0, place, (confidence - (said == classes).float()).double())
    return gap.abs().sum().item() / len(classes)


def table(metrics: Metrics) -> str:
    """The metrics for a person."""
    low, high = metrics.interval
    lines = [
        f"accuracy {metrics.accuracy:.1%} (95%: {low:.1%} to {high:.1%}, of {metrics.count:,}), "
        f"macro F1 {metrics.macro_f1:.3f}, loss {metrics.loss:.3f}, ECE {metrics.ece:.3f}"
    ]
    width = max(len(label) for label in metrics.recall)
    lines.append(f"{'':<{width}}  precision  recall   said: {' '.join(metrics.recall)}")
    for label, row in zip(metrics.recall, metrics.confusion, strict=True):
        counts = " ".join(
            f"{count:>{len(name)}}" for name, count in zip(metrics.recall, row, strict=True)
        )
        lines.append(
            f"{label:<{width}}  {metrics.precision[label]:>9.3f}  {metrics.recall[label]:>6.3f}"
            f"         {counts}"
        )
    return "\n".join(lines)


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean and standard deviation (of the sample) of repeated measurements."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
    return {"mean": mean, "deviation": math.sqrt(variance), "values": list(values)}
