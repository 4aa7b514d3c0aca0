"""The data set's crops, split by split."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.sample import Sample
from pipeline.trouble import Trouble
from stages.partition.given import side_of
from stages.training.data import Crops, load_crops


def load_sets(
    samples: Iterable[Sample], cache: Path, fingerprint: str, side: int
) -> tuple[dict[str, Crops], list[str]]:
    """The crops of each split that has any, and the labels, sorted by name.

    The samples' fact `split` says which. `cache` is a folder for arrays of decoded crops, named by
    `fingerprint`, that of the data set. Raises Trouble for fewer than two labels, and for a label
    that has no pictures to train on.
    """
    by_split: dict[str, list[Sample]] = {}
    for sample in samples:
        by_split.setdefault(side_of(sample.facts), []).append(sample)
    labels = sorted({sample.label for sample in by_split.get("train", [])})
    if len(labels) < 2:
        raise Trouble(
            f"the data set holds {len(labels)} label(s) to train on, two are "
            "needed: add pictures of another, and see `make status` for what was dropped"
        )
    for sample in by_split.get("val", []) + by_split.get("test", []):
        if sample.label not in labels:
            raise Trouble(f"{sample.key}: label {sample.label!r} has no pictures to train on")
    sets = {
        split: load_crops(members, labels, side, cache / f"{split}-{side}px-{fingerprint}.npy")
        for split, members in by_split.items()
    }
    return sets, labels


def counts(crops: Crops, labels: list[str]) -> dict[str, int]:
    """Pictures by label."""
    return {label: int((crops.classes == place).sum()) for place, label in enumerate(labels)}
