"""The data set, split by split: as crops, or as shards to train on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.sample import Sample
from pipeline.store import Place
from pipeline.trouble import Trouble
from stages.partition.given import side_of
from stages.partition.shards import read_index
from stages.training.data import Crops, load_crops
from stages.training.stream import Stream

NEEDED = frozenset({"group"})  # of a picture's facts; with all of them it takes 10 kB of memory
Counts = Mapping[str, Mapping[str, int]]
"""Pictures by split, then by label."""


def labels_to_learn(counts: Counts) -> list[str]:
    """The labels that have pictures to train on, sorted by name.

    Raises Trouble for fewer than two, and for a label that has pictures elsewhere alone.
    """
    labels = sorted(counts.get("train", ()))
    if len(labels) < 2:
        raise Trouble(
            f"the data set holds {len(labels)} label(s) to train on, two are "
            "needed: add pictures of another, and see `make status` for what was dropped"
        )
    for split, by_label in counts.items():
        if strange := sorted(by_label.keys() - set(labels)):
            raise Trouble(f"label {strange[0]!r} has pictures in {split}, but none to train on")
    return labels


def load_sets(
    samples: Iterable[Sample], labels: Sequence[str], cache: Path, fingerprint: str, side: int
) -> dict[str, Crops]:
    """The crops of each split that has any; the samples' fact `split` says which.

    `cache` is a folder for arrays of decoded crops, named by `fingerprint`, that of the data set.
    """
    by_split: dict[str, list[Sample]] = {}
    for sample in samples:
        members = by_split.setdefault(side_of(sample.facts), [])
        members.append(sample.with_only(NEEDED))
    return {
        split: load_crops(members, labels, side, cache / f"{split}-{side}px-{fingerprint}.npy")
        for split, members in by_split.items()
    }


def stream_of(dataset: Place, counts: Sequence[int], side: int, window: int) -> Stream:
    """The shards of train in a data set's folder; `counts` are its pictures by class."""
    return Stream(dataset, read_index(dataset).of("train"), counts, side, window)
