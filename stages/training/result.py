"""What becomes of a run's weights: model files, and the judgement of the best ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from pipeline import files
from stages.model.description import Description, to_json
from stages.model.weights import load_model, save_model
from stages.training.calibration import temperature_of
from stages.training.data import Crops
from stages.training.metrics import measure, table
from stages.training.state import Numbers
from stages.training.validation import logits_of


def saver(folder: Path, description: Description) -> Callable[[str, nn.Module, Numbers], None]:
    """Writes weights under a name, described by the numbers of their epoch."""

    def save(name: str, network: nn.Module, numbers: Numbers) -> None:
        save_model(folder / name, network, replace(description, numbers=numbers))

    return save


def judge(
    folder: Path, sets: Mapping[str, Crops], labels: list[str], device: torch.device
) -> list[list[int]]:
    """Metrics of the best weights on val and test, printed and kept; val's confusion matrix.

    The temperature that val asks for goes into the description first, unless val chose the weights:
    then it would be too sure of them.
    """
    network, description = load_model(folder)
    network = network.to(device)
    logits = {
        split: logits_of(network, crops.pictures, description.recipe, device)
        for split, crops in sets.items()
        if split != "train"
    }
    if not description.recipe.chooses_epoch:  # the best weights are the last ones
        temperature = temperature_of(logits["val"], sets["val"].classes)
        description = replace(description, temperature=round(temperature, 4))
        for name in ("best.json", "last.json"):
            files.write(folder / name, to_json(description))
        print(f"train: temperature {temperature:.2f}, fitted on validation")
    judged = {
        split: measure(values / description.temperature, sets[split].classes, labels)
        for split, values in logits.items()
    }
    for split, metrics in judged.items():
        print(f"{split}: {table(metrics)}")
    figures = {split: asdict(metrics) for split, metrics in judged.items()}
    files.write(folder / "evaluation.json", json.dumps(figures, indent=2))
    return judged["val"].confusion
