"""What the record says of a processed folder, as plain values for the report's page."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.ledger import Entry, Ledger
from pipeline.step import Step
from pipeline.store import Place
from stages.partition.given import side_of

SAMPLE = 24  # pictures shown of a reason or a label
PAIRS = 40  # pairs and groups shown
SUSPECTS = 60  # likely mistakes shown
COPIES = ("duplicate", "conflicting_label")

T = TypeVar("T")


@dataclass(frozen=True)
class Shown:
    """A picture on the page: its file (None where there is nothing to show) and a line about it."""

    key: str
    label: str
    file: Place | None
    note: str = ""


@dataclass(frozen=True)
class StageCount:
    """A stage of the funnel: pictures by verdict."""

    name: str
    kept: int
    rejected: int
    errors: int

    @property
    def came_in(self) -> int:
        return self.kept + self.rejected + self.errors


@dataclass(frozen=True)
class Dropped:
    """A reason of a stage: how many pictures it dropped, and some of them."""

    stage: str
    reason: str
    count: int
    pictures: Sequence[Shown]


@dataclass(frozen=True)
class Pair:
    """A dropped picture and the one it is like; `distance` is in bits of 256."""

    dropped: Shown
    kept: Shown
    reason: str
    distance: int


@dataclass(frozen=True)
class Group:
    """Pictures that stay on one side of the split."""

    name: str
    count: int
    pictures: Sequence[Shown]


class Record:
    """A ledger as the report reads it: each stage's rows once, without changing anything."""

    def __init__(self, ledger: Ledger, steps: Sequence[Step], processed: Place) -> None:
        self._processed = processed
        self._input = {step.name: step.input for step in steps}
        self._entries = {step.name: list(ledger.entries(step.name)) for step in steps}
        self._outputs = {
            stage: {entry.key: entry.output for entry in entries if entry.output}
            for stage, entries in self._entries.items()
        }
        self._crops = next(stage for stage in reversed(self._input) if stage != "split")

    def funnel(self) -> list[StageCount]:
        """The stages in order."""
        counts = {
            stage: Counter(entry.verdict for entry in entries)
            for stage, entries in self._entries.items()
        }
        return [
            StageCount(stage, count["kept"], count["rejected"], count["error"])
            for stage, count in counts.items()
        ]

    def labels(self) -> dict[str, dict[str, int]]:
        """By label: how many pictures were found, became crops, and lie on each side."""
        table: defaultdict[str, dict[str, int]] = defaultdict(dict)
        first, last = next(iter(self._entries)), self._crops
        for column, stage in (("raw", first), ("crops", last)):
            for entry in self._entries[stage]:
                if stage == first or entry.output:
                    counts = table[entry.label]
                    counts[column] = counts.get(column, 0) + 1
        for entry, facts in self.crops():
            side = side_of(facts)
            table[entry.label][side] = table[entry.label].get(side, 0) + 1
        return {label: table[label] for label in sorted(table) if label}

    def dropped(self) -> dict[str, list[Dropped]]:
        """By stage its reasons, the most frequent first; pictures as that stage saw them."""
        return {stage: found for stage in self._entries if (found := list(self._dropped_by(stage)))}

    def _dropped_by(self, stage: str) -> Iterator[Dropped]:
        by_reason: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in self._entries[stage]:
            if entry.reason:
                by_reason[entry.reason].append(entry)
        for reason, entries in sorted(by_reason.items(), key=lambda item: -len(item[1])):
            pictures = [self._seen_by(stage, entry) for entry in spread(entries, SAMPLE)]
            yield Dropped(stage, reason, len(entries), pictures)

    def pairs(self) -> list[Pair]:
        """Copies and conflicts with the picture each is like, the least alike first."""
        pairs = []
        for entry in self._entries["dedupe"]:
            if entry.reason in COPIES:
                facts = json.loads(entry.facts)
                others = facts["of"] if isinstance(facts["of"], list) else [facts["of"]]
                dropped = self._seen_by("dedupe", entry)
                for key in others:
                    kept = self._picture("dedupe", key)
                    pairs.append(Pair(dropped, kept, entry.reason, facts.get("distance", 0)))
        return sorted(pairs, key=lambda pair: -pair.distance)

    def groups(self) -> list[Group]:
        """Groups of two or more pictures, the largest first."""
        members: defaultdict[str, list[Shown]] = defaultdict(list)
        for entry, facts in self.crops():
            if "group" in facts:
                members[facts["group"]].append(self.crop(entry))
        found = [
            Group(name, len(pictures), spread(pictures, 6))
            for name, pictures in members.items()
            if len(pictures) > 1
        ]
        return sorted(found, key=lambda group: (-group.count, group.name))

    def crops(self) -> Iterator[tuple[Entry, dict[str, Any]]]:
        """Every picture of the data set with its facts."""
        for entry in self._entries["split"]:
            if entry.output:
                yield entry, json.loads(entry.facts)

    def sheet(self) -> dict[str, list[Shown]]:
        """Some crops of each label."""
        by_label: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry, _ in self.crops():
            by_label[entry.label].append(entry)
        return {
            label: [self.crop(entry) for entry in spread(entries, SAMPLE)]
            for label, entries in sorted(by_label.items())
        }

    def _seen_by(self, stage: str, entry: Entry) -> Shown:
        """A picture as it came into a stage."""
        before = self._input[stage]
        output = self._outputs[before].get(entry.key) if before else None
        return Shown(entry.key, entry.label, self._processed / output if output else None)

    def crop(self, entry: Entry) -> Shown:
        """A picture of the data set."""
        return Shown(entry.key, entry.label, self._processed / entry.output)

    def _picture(self, stage: str, key: str) -> Shown:
        """The picture of a key as it came into a stage."""
        before = str(self._input[stage])
        output = self._outputs[before].get(key)
        return Shown(key, key.split("/")[0], self._processed / output if output else None)


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, evenly from the first to the last."""
    if len(items) <= most:
        return list(items)
    return [items[place * len(items) // most] for place in range(most)]
