"""How well recipes did on a set: a row each, the recommendation, and the curves."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stages.training.intervals import Z, wilson
from stages.training.metrics import measure


@dataclass(frozen=True)
class Row:
    """A recipe on a set. `right` has a value a picture: the share of seeds that answered it."""

    recipe: str
    right: dict[int, float]
    macro_f1: float
    ece: float
    seconds: float
    cpu_seconds: float
    rate: float

    @property
    def accuracy(self) -> float:
        return statistics.mean(self.right.values())


def row(recipe: str, trainings: Sequence[Any], labels: Sequence[str]) -> Row:
    """Figures of a recipe's trainings. Macro F1 and ECE are means over the seeds, each of all folds
    together: few pictures make the ECE too large.
    """
    answers: dict[int, list[float]] = {}
    figures = []
    for seed in sorted({training["seed"] for training in trainings}):
        folds_of_seed = [training for training in trainings if training["seed"] == seed]
        places, classes, logits = (
            torch.cat([torch.tensor(training[name]) for training in folds_of_seed])
            for name in ("places", "classes", "logits")
        )
        figures.append(measure(logits, classes, labels))
        for place, right in zip(places.tolist(), logits.argmax(1) == classes, strict=True):
            answers.setdefault(place, []).append(float(right))
    shown = sum(training["trained_on"] * training["epochs"] for training in trainings)
    return Row(
        recipe,
        {place: statistics.mean(values) for place, values in answers.items()},
        statistics.mean(metrics.macro_f1 for metrics in figures),
        statistics.mean(metrics.ece for metrics in figures),
        statistics.mean(training["seconds"] for training in trainings),
        statistics.mean(training["cpu_seconds"] for training in trainings),
        shown / sum(training["seconds"] for training in trainings),
    )


def table(name: str, rows: Sequence[Row]) -> str:
    """A set's rows in Markdown."""
    lines = []
    for found in rows:
        count = len(found.right)
        low, high = wilson(round(found.accuracy * count), count)
        lines.append(
            f"| {name} | `{found.recipe}` | {found.accuracy:.1%} ({low:.1%} to {high:.1%}) | "
            f"{found.macro_f1:.3f} | {found.ece:.3f} | {found.seconds:,.0f} | "
            f"{found.cpu_seconds:,.0f} | {found.rate:,.0f} |"
        )
    return "\n".join(lines)


HEADER = """\
| set | recipe | accuracy (95%) | macro F1 | ECE | seconds | CPU seconds | pictures/s |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def gain(better: Row, other: Row) -> tuple[float, float]:
    """By how much of its accuracy one recipe leads, and the reach of the 95% interval of that."""
    differences = [better.right[place] - other.right[place] for place in better.right]
    reach = Z * statistics.stdev(differences) / math.sqrt(len(differences))
    return statistics.mean(differences), reach


def recommendation(name: str, rows: Sequence[Row]) -> str:
    """The fastest recipe that the most accurate one does not surely beat, in a sentence."""
    best = max(rows, key=lambda found: found.accuracy)
    for found in sorted(rows, key=lambda found: found.seconds):
        ahead, reach = gain(best, found)
        if ahead - reach <= 0:
            break
    if found is best:
        others = [gain(best, other)[0] for other in rows if other is not best]
        lead = f": {min(others):+.1%} or more over the others" if others else ""
        return f"{name}: take --recipe {best.recipe}{lead}"
    return (
        f"{name}: take --recipe {found.recipe}; {best.recipe} is not surely better ({ahead:+.1%} "
        f"± {reach:.1%}) and takes {best.seconds / found.seconds:.1f} times as long"
    )


def draw(curves: dict[str, dict[str, list[tuple[float, float]]]], path: Path) -> None:
    """Validation accuracy over CPU seconds, a panel for each set."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(3.2 * len(curves), 3.2), layout="constrained")
    recipes = list(dict.fromkeys(recipe for lines in curves.values() for recipe in lines))
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for panel, (name, lines) in zip(panels, curves.items(), strict=True):
        for recipe, curve in lines.items():
            colour = f"C{recipes.index(recipe)}"
            panel.plot(*zip(*curve, strict=True), color=colour, label=recipe, linewidth=1)
        panel.set(title=name, xlabel="CPU seconds", xscale="log")
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy on validation")
    panels[0].legend()
    figure.savefig(path, dpi=110)
