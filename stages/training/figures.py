"""Learning curves and confusion matrices, as matplotlib figures. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS = 110  # per inch, of the pictures that are kept


def curves(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss and accuracy of training and validation, epoch by epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    for axis, kind in zip(figure.subplots(1, 2), ("loss", "acc"), strict=True):
        for tag in (f"data/train{kind}", f"data/val{kind}"):
            if tag in rows[-1]:
                axis.plot(epochs, [row[tag] for row in rows], label=tag)
        axis.set(xlabel="epoch", title={"loss": "loss of a picture", "acc": "accuracy"}[kind])
        axis.grid(alpha=0.3)
        axis.legend()
    return figure


def confusion_figure(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> Figure:
    """Counts by true and predicted label."""
    from matplotlib.figure import Figure

    side = 2.2 + 0.6 * len(labels)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axis = figure.subplots()
    shares = [[count / max(1, sum(row)) for count in row] for row in confusion]
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axis.set_yticks(range(len(labels)), labels)
    axis.set(xlabel="predicted", ylabel="true")
    for y, row in enumerate(confusion):
        for x, count in enumerate(row):
            ink = "white" if shares[y][x] > 0.6 else "black"
            axis.text(x, y, str(count), ha="center", va="center", color=ink)
    return figure
