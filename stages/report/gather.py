"""What the record says of a processed folder, as plain values for the report's page."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pipeline.ledger import Entry, Ledger
from pipeline.step import Step
from pipeline.store import Place

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


@dataclass(frozen=True)
class Some(Generic[T]):
    """Some of many: how many there are, and those that are shown."""

    count: int
    shown: Sequence[T]


class Record:
    """A ledger as the report reads it, without changing anything.

    Rows are read one by one and not kept, so that a million pictures take little memory.
    """

    def __init__(self, ledger: Ledger, steps: Sequence[Step], processed: Place) -> None:
        self._ledger = ledger
        self._processed = processed
        self._input = {step.name: step.input for step in steps}
        self._crops = next(stage for stage in reversed(self._input) if stage != "split")

    def funnel(self) -> list[StageCount]:
        """The stages in order."""
        counts = {stage: self._ledger.counts(stage) for stage in self._input}
        return [
            StageCount(stage, kept, sum(rejected.values()), errors)
            for stage, (kept, rejected, errors) in counts.items()
        ]

    def labels(self) -> dict[str, dict[str, int]]:
        """By label: how many pictures were found, became crops, and lie on each side."""
        table: defaultdict[str, dict[str, int]] = defaultdict(dict)
        first = next(iter(self._input))
        for label, count in Counter(row.label for row in self._ledger.entries(first)).items():
            table[label]["raw"] = count
        for label, count in self._ledger.labels(self._crops).get("", {}).items():
            table[label]["crops"] = count
        for side, by_label in self._ledger.labels("split").items():
            for label, count in by_label.items():
                table[label][side] = count
        return {label: table[label] for label in sorted(table) if label}

    def dropped(self) -> dict[str, list[Dropped]]:
        """By stage its reasons, the most frequent first; pictures as that stage saw them."""
        return {stage: found for stage in self._input if (found := self._dropped_by(stage))}

    def _dropped_by(self, stage: str) -> list[Dropped]:
        counts = Counter(row.reason for row in self._ledger.dropped(stage))
        rows = _some_of_each(self._ledger.dropped(stage), lambda row: row.reason, counts)
        return [
            Dropped(
                stage,
                reason,
                count,
                [self._seen_by(stage, row.key, row.label) for row in rows[reason]],
            )
            for reason, count in counts.most_common()
        ]

    def pairs(self) -> Some[Pair]:
        """Copies and conflicts with the picture each is like, the least alike first."""
        found: list[tuple[int, str, str, str, str]] = []
        for row in self._ledger.dropped("dedupe"):
            if row.reason in COPIES:
                facts = json.loads(row.facts)
                others = facts["of"] if isinstance(facts["of"], list) else [facts["of"]]
                distance = -facts.get("distance", 0)
                found += [(distance, row.key, row.label, row.reason, other) for other in others]
        found.sort(key=lambda pair: pair[0])
        pairs = [
            Pair(
                self._seen_by("dedupe", key, label),
                self._seen_by("dedupe", other, other.split("/")[0]),
                reason,
                -distance,
            )
            for distance, key, label, reason, other in spread(found, PAIRS)
        ]
        return Some(len(found), pairs)

    def groups(self) -> Some[Group]:
        """Groups of two or more pictures, the largest first."""
        members: defaultdict[str, list[str]] = defaultdict(list)
        for row, facts in self.crops():
            if "group" in facts:
                members[facts["group"]].append(row.key)
        found = [(name, keys) for name, keys in members.items() if len(keys) > 1]
        found.sort(key=lambda group: (-len(group[1]), group[0]))
        groups = []
        for name, keys in found[:PAIRS]:
            rows = [self._ledger.entry("split", key) for key in spread(keys, 6)]
            groups.append(Group(name, len(keys), [self.crop(row) for row in rows if row]))
        return Some(len(found), groups)

    def crops(self) -> Iterator[tuple[Entry, dict[str, Any]]]:
        """Every picture of the data set with its facts."""
        return ((row, json.loads(row.facts)) for row in self._kept())

    def some_crops(self, most: int) -> list[tuple[Entry, dict[str, Any]]]:
        """At most so many pictures of the data set with their facts, evenly from first to last."""
        (count, _, _) = self._ledger.counts("split")
        return [(row, json.loads(row.facts)) for row in some(self._kept(), count, most)]

    def sheet(self) -> dict[str, list[Shown]]:
        """Some crops of each label."""
        counts = Counter(row.label for row in self._kept())
        rows = _some_of_each(self._kept(), lambda row: row.label, counts)
        return {label: [self.crop(row) for row in rows[label]] for label in sorted(rows)}

    def crop(self, row: Entry) -> Shown:
        """A picture of the data set."""
        return Shown(row.key, row.label, self._processed / row.output)

    def _kept(self) -> Iterator[Entry]:
        return (row for row in self._ledger.entries("split") if row.output)

    def _seen_by(self, stage: str, key: str, label: str) -> Shown:
        """A picture as it came into a stage."""
        before = self._input[stage]
        row = self._ledger.entry(before, key) if before else None
        return Shown(key, label, self._processed / row.output if row and row.output else None)


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, evenly from the first to the last."""
    return some(items, len(items), most)


def some(items: Iterable[T], count: int, most: int) -> list[T]:
    """At most so many of `count` items, evenly from the first to the last; no other is kept."""
    chosen = _places(count, most)
    return [item for place, item in enumerate(items) if place in chosen]


def _places(count: int, most: int) -> Container[int]:
    return range(count) if count <= most else {place * count // most for place in range(most)}


def _some_of_each(
    rows: Iterable[Entry], name: Callable[[Entry], str], counts: Mapping[str, int]
) -> dict[str, list[Entry]]:
    """At most SAMPLE rows of each name, evenly from the first to the last; `counts` has how many
    rows each name has.
    """
    places = {word: _places(count, SAMPLE) for word, count in counts.items()}
    found: dict[str, list[Entry]] = {word: [] for word in counts}
    seen: Counter[str] = Counter()
    for row in rows:
        word = name(row)
        if seen[word] in places[word]:
            found[word].append(row)
        seen[word] += 1
    return found
