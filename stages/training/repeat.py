"""Judge a recipe by folds or by seeds: how good it is, and how much of that is chance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

from pipeline import files
from pipeline.tables import csv_text
from stages.training.calibration import temperature_of
from stages.training.data import Crops
from stages.training.folds import folds
from stages.training.loop import fit
from stages.training.metrics import measure, table
from stages.training.recipes import Recipe
from stages.training.validation import logits_of


@dataclass(frozen=True)
class Repeats:
    """How often to train: on each of `folds` folds (0: on train, judged by val), with each seed."""

    folds: int
    seeds: range


@dataclass(frozen=True)
class Judgement:
    """Logits (N×L, the mean over seeds) of the crops at `places`, and each training's accuracy."""

    crops: Crops
    places: list[int]
    logits: Tensor
    accuracies: list[float]


def repeat(
    sets: Mapping[str, Crops],
    labels: Sequence[str],
    recipe: Recipe,
    device: torch.device,
    repeats: Repeats,
) -> Judgement:
    """Train once for each seed and fold, and judge the last weights on the pictures left out.

    No epoch is chosen by what is measured, no temperature either. With folds, each picture is
    judged by a model that never saw its group. Raises Usage where the groups do not fill the folds.
    """
    if repeats.folds:
        crops = _together([sets[name] for name in ("train", "val") if name in sets])
        parts = folds(crops.samples, repeats.folds)
    else:
        crops = _together([sets["train"], sets["val"]])
        parts = [list(range(len(sets["train"]), len(crops)))]
    accuracies, total = [], torch.zeros(len(crops), len(labels))
    for seed in repeats.seeds:
        for number, part in enumerate(parts):
            rest = sorted(set(range(len(crops))) - set(part))
            state = fit(recipe, seed, crops.take(rest), None, labels, device)
            held_out = crops.take(part)
            logits = logits_of(state.network, held_out.pictures, recipe, device)
            accuracies.append((logits.argmax(1) == held_out.classes).float().mean().item())
            total[part] += logits
            print(
                f"seed {seed}, fold {number + 1} of {len(parts)}: {accuracies[-1]:.1%} of "
                f"{len(part):,}"
            )
    places = sorted(place for part in parts for place in part)
    logits = _calibrated(total / len(repeats.seeds), crops.classes, parts)
    return Judgement(crops, places, logits[places], accuracies)


def _calibrated(logits: Tensor, classes: Tensor, parts: Sequence[list[int]]) -> Tensor:
    """Logits of each fold at the temperature that the other folds ask for; one fold as it is."""
    calibrated = logits.clone()
    for part in parts:
        others = [place for other in parts if other is not part for place in other]
        if others:
            calibrated[part] = logits[part] / temperature_of(logits[others], classes[others])
    return calibrated


def report(judgement: Judgement, labels: Sequence[str], settings: Any, folder: Path) -> None:
    """Print the figures; write them as evaluation.json, and every answer as predictions.csv."""
    classes = judgement.crops.classes[judgement.places]
    metrics = measure(judgement.logits, classes, labels)
    accuracies = judgement.accuracies
    spread = {
        "mean": mean(accuracies),
        "deviation": stdev(accuracies) if len(accuracies) > 1 else 0.0,
        "values": accuracies,
    }
    print(
        f"{spread['mean']:.1%} ± {spread['deviation']:.1%} (standard deviation) over "
        f"{len(accuracies)} trainings"
    )
    print(f"all together, averaged over seeds: {table(metrics)}")
    files.write(folder / "predictions.csv", _predictions(judgement, labels))
    figures = {"settings": settings, "accuracy": spread, "together": asdict(metrics)}
    files.write(folder / "evaluation.json", json.dumps(figures, indent=2))
    print(f"every answer: {folder / 'predictions.csv'}")


def _together(parts: Sequence[Crops]) -> Crops:
    return Crops(
        torch.cat([part.pictures for part in parts]),
        torch.cat([part.classes for part in parts]),
        [sample for part in parts for sample in part.samples],
    )


def _predictions(judgement: Judgement, labels: Sequence[str]) -> str:
    header = ["file", "label", "predicted", *(f"p_{label}" for label in labels)]
    crops = judgement.crops
    rows = (
        [
            crops.samples[place].key,
            labels[int(crops.classes[place])],
            labels[shares.index(max(shares))],
            *(f"{share:.4f}" for share in shares),
        ]
        for place, shares in zip(
            judgement.places, judgement.logits.softmax(1).tolist(), strict=True
        )
    )
    return csv_text(header, rows)
