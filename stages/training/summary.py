"""The lines that a training run prints of its data and its result. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.store import Place
from stages.training.intervals import if_wide


def data_text(counts: Mapping[str, Mapping[str, int]], epochs: int) -> str:
    """How many pictures there are to train on and to judge by, label by label; and how often."""
    splits = [split for split in ("train", "val", "test") if split in counts]
    total = {split: sum(counts[split].values()) for split in splits}
    labels = (
        f"{label} {' + '.join(f'{counts[split][label]:,}' for split in splits)}"
        for label in counts["train"]
    )
    return (
        f"train: {total['train']:,} pictures, {total['val']:,} for validation, {epochs:,} epochs\n"
        f"train: labels ({' + '.join(splits)}): {', '.join(labels)}"
    )


def closing_line(done: Mapping[str, Any], folder: Place, processed: Place) -> str:
    best, count = done["best"], sum(done["counts"]["val"].values())
    accuracy = best["data/valacc"]
    return (
        f"Validation accuracy {accuracy:.1%} (epoch {best['epoch']}{if_wide(accuracy, count)}), "
        f"model in {folder}; next: make predict PROCESSED={processed} INPUT=<picture or folder>"
    )
