"""Judge a recipe by folds or by seeds: how good it is, and how much of that is chance."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipeline import files
from pipeline.context import Context
from pipeline.files import digest
from pipeline.sample import Sample
from pipeline.tables import csv_text
from pipeline.trouble import Usage
from stages.training.data import Crops
from stages.training.devices import device_of, spoken
from stages.training.loop import fit
from stages.training.metrics import measure, spread, table
from stages.training.sets import load_sets
from stages.training.validation import predict

if TYPE_CHECKING:
    from stages.commands.train import Train


def repeat(train: Train, context: Context) -> int:
    """Train without choosing an epoch by what is measured: the last weights count.

    With folds, each picture is judged by a model that never saw its group; without, `val` is.
    Writes processed/runs/<name>-folds/ (or -seeds): predictions.csv and evaluation.json.
    """
    device = device_of(train.device)
    print(f"train: {train.model}, recipe {train.recipe}, on {spoken(device)}")
    sets, labels = load_sets(context, context.ledger.fingerprint("split"), train.side)
    if train.folds:
        crops = _together([sets[name] for name in ("train", "val") if name in sets])
        parts = folds(crops.samples, train.folds, train.group_by)
    else:
        crops = _together([sets["train"], sets["val"]])
        parts = [list(range(len(sets["train"]), len(crops)))]
    accuracies, total = [], torch.zeros(len(crops), len(labels))
    for seed in range(train.seed, train.seed + train.seeds):
        logits = torch.zeros(len(crops), len(labels))
        for number, part in enumerate(parts):
            rest = sorted(set(range(len(crops))) - set(part))
            state = fit(train.as_recipe(), seed, crops.take(rest), None, labels, device)
            held = crops.take(part)
            logits[part] = predict(state.network, held.pictures, train.as_recipe(), device)
            right = (logits[part].argmax(1) == held.classes).float().mean().item()
            accuracies.append(right)
            print(f"seed {seed}, fold {number + 1} of {len(parts)}: {right:.1%} of {len(part):,}")
        total += logits
    judged = sorted(place for part in parts for place in part)
    metrics = measure(total[judged] / train.seeds, crops.classes[judged], labels)
    middle = spread(accuracies)
    print(f"{middle['mean']:.1%} ± {middle['deviation']:.1%} over {len(accuracies)} trainings")
    print(f"averaged over seeds: {table(metrics)}" if train.seeds > 1 else table(metrics))
    folder = (
        context.processed
        / "runs"
        / f"{train.name or train.recipe}-{'folds' if train.folds else 'seeds'}"
    )
    files.write(
        folder / "predictions.csv", _predictions(crops, judged, total / train.seeds, labels)
    )
    said = {"settings": asdict(train), "accuracy": middle, "together": asdict(metrics)}
    files.write(folder / "evaluation.json", json.dumps(said, indent=2))
    print(f"every answer: {folder / 'predictions.csv'}")
    return 0


def folds(samples: Sequence[Sample], count: int, group_by: str) -> list[list[int]]:
    """Places of the samples in each fold. Groups stay whole, each goes to the fold that is
    smallest by then, in an order drawn from their names: the same on every machine.
    """
    groups: dict[str, list[int]] = {}
    for place, sample in enumerate(samples):
        groups.setdefault(group_of(sample.key, group_by), []).append(place)
    if len(groups) < count:
        raise Usage(f"{len(groups)} group(s) do not fill {count} folds")
    parts: list[list[int]] = [[] for _ in range(count)]
    for name in sorted(groups, key=lambda name: (-len(groups[name]), digest(name.encode()))):
        min(parts, key=len).extend(groups[name])
    return [sorted(part) for part in parts]


def group_of(key: str, group_by: str) -> str:
    """What the expression's first group finds in a key; the key itself where it finds nothing."""
    try:
        found = re.search(group_by, key) if group_by else None
    except re.error as error:
        raise Usage(f"--group-by {group_by!r} is no regular expression: {error}") from error
    name = found.group(min(1, found.re.groups)) if found else None
    return key if name is None else str(name)


def _together(parts: Sequence[Crops]) -> Crops:
    return Crops(
        torch.cat([part.pictures for part in parts]),
        torch.cat([part.classes for part in parts]),
        [sample for part in parts for sample in part.samples],
    )


def _predictions(crops: Crops, places: Sequence[int], logits: Tensor, labels: Sequence[str]) -> str:
    header = ["file", "label", "predicted", *(f"p_{label}" for label in labels)]
    shares = logits.softmax(1).tolist()
    rows = (
        [
            crops.samples[place].key,
            labels[int(crops.classes[place])],
            labels[shares[place].index(max(shares[place]))],
            *(f"{share:.4f}" for share in shares[place]),
        ]
        for place in places
    )
    return csv_text(header, rows)
