"""Folds of a data set: groups stay whole, labels are shared out evenly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline.files import digest
from pipeline.sample import Sample
from pipeline.trouble import Usage


def folds(samples: Sequence[Sample], count: int) -> list[list[int]]:
    """Places of the samples in each of `count` folds.

    Samples with the same fact `group` (see the split) share a fold. The largest groups come
    first, in an order drawn from their names, and each goes to the fold that has the smallest
    share of its labels by then: the same folds on every machine. Raises Usage where there are
    fewer groups than folds.
    """
    groups: dict[str, list[int]] = {}
    for place, sample in enumerate(samples):
        groups.setdefault(sample.facts.get("group", sample.key), []).append(place)
    if len(groups) < count:
        raise Usage(f"{len(groups):,} group(s) do not fill {count} folds")
    pictures = Counter(sample.label for sample in samples)
    parts: list[list[int]] = [[] for _ in range(count)]
    labels: list[Counter[str]] = [Counter() for _ in range(count)]
    for name in sorted(groups, key=lambda name: (-len(groups[name]), digest(name.encode()))):
        own = Counter(samples[place].label for place in groups[name])

        def fullness(fold: int, own: Counter[str] = own) -> tuple[float, int]:
            shares = (n * labels[fold][label] / pictures[label] for label, n in own.items())
            return sum(shares), len(parts[fold])

        smallest = min(range(count), key=fullness)
        parts[smallest] += groups[name]
        labels[smallest] += own
    return [sorted(part) for part in parts]
