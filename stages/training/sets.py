"""The data set's crops, split by split."""

from __future__ import annotations

from pipeline.context import Context
from pipeline.sample import Sample
from pipeline.trouble import Trouble
from stages.training.data import Crops, load


def load_sets(context: Context, fingerprint: str, side: int) -> tuple[dict[str, Crops], list[str]]:
    """The crops of each split that has any, and the labels, sorted by name."""
    samples: dict[str, list[Sample]] = {}
    for sample in context.ledger.samples("split", context.processed):
        split = sample.file.relative_to(context.processed / "dataset").parts[0]
        samples.setdefault(split, []).append(sample)
    labels = sorted({sample.label for sample in samples.get("train", [])})
    if len(labels) < 2:
        raise Trouble(
            f"{context.processed / 'dataset'} holds {len(labels)} label(s) to train on, two are "
            "needed: add pictures of another, and see `make status` for what was dropped"
        )
    for sample in samples.get("val", []) + samples.get("test", []):
        if sample.label not in labels:
            raise Trouble(f"{sample.key}: label {sample.label!r} has no pictures to train on")
    cache = context.processed / "cache"
    sets = {
        split: load(members, labels, side, cache / f"{split}-{side}px-{fingerprint}.npy")
        for split, members in samples.items()
    }
    return sets, labels
