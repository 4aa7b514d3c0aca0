"""Every picture of a processed folder as the review page lists it, with the decisions on it."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import decisions
from pipeline.decisions import ByHand, Word
from pipeline.labels import label_of
from pipeline.ledger import Entry, Ledger
from pipeline.step import Step

SUSPECTS = "suspects.json"  # what `report` writes: confidence and likely label by key
FILTERS = ("stage", "label", "reason", "detector", "decision")
SHOWN = ("face", "detector", "landmarks", "crop", "distance", "width", "height", "sharpness")
"""Facts that the page shows of one picture."""
IN_SET = "kept"  # the reason of pictures that are in the data set


@dataclass(slots=True)
class Item:
    """A picture. `label` is its folder's; `stage` is the last stage that has a row for it.

    `reason`: why it was dropped, `kept`, or empty if it waits for a later stage.
    `latest`: the file of the last stage that kept it. `picture`: the upright one. Both are relative
    to the processed folder.
    `confidence`: the probability that the report's quick model gives the picture's own label; 1 if
    it was not judged.
    """

    number: int
    key: str
    label: str
    stage: str
    reason: str
    detector: str
    content: str
    latest: str
    picture: str
    confidence: float = 1.0
    likely: str = ""


class Catalogue:
    """Lists, filters and decides; safe to call from several threads.

    Decisions are on disk before `decide` returns. `version` grows with every picture decided on.
    """

    def __init__(self, ledger: Ledger, steps: Sequence[Step], processed: Path) -> None:
        self.processed = processed
        self._ledger = ledger
        self._path = processed / decisions.NAME
        self._lock = threading.Lock()
        self._decided = decisions.read(self._path)
        self._changes: list[int] = []
        self._found: tuple[object, list[int]] = (None, [])  # the last query and its answer
        self.items = _items(ledger, steps, processed)
        self._by_key = {item.key: item.number for item in self.items}
        self.labels = sorted({item.label for item in self.items})
        self._by_content: dict[str, list[int]] = {}
        for item in self.items:
            self._by_content.setdefault(item.content, []).append(item.number)

    @property
    def version(self) -> int:
        return len(self._changes)

    def numbers_where(self, wanted: Mapping[str, str], order: str = "") -> list[int]:
        """Numbers of the items whose fields are as wanted; `order` "suspicion" puts the least
        confident first.
        """
        query = (sorted(wanted.items()), order, self.version)
        asked_before, chosen = self._found
        if query != asked_before:
            chosen = self._chosen({name: value for name, value in wanted.items() if value})
            if order == "suspicion":
                chosen.sort(key=lambda number: (self.items[number].confidence, number))
            self._found = (query, chosen)
        return chosen

    def _chosen(self, wanted: Mapping[str, str]) -> list[int]:
        return [
            item.number
            for item in self.items
            if all(self._field(item, name) == value for name, value in wanted.items())
        ]

    def facets(self) -> dict[str, dict[str, int]]:
        """For each filter: its values, and how many pictures have each."""
        counts = {name: Counter(self._field(item, name) for item in self.items) for name in FILTERS}
        return {name: dict(sorted(values.items())) for name, values in counts.items()}

    def row(self, number: int) -> dict[str, Any]:
        """An item as the page has it."""
        item, decision = self.items[number], self.decision(number)
        return {
            "number": number,
            "key": item.key,
            "label": self._label(item),
            "stage": item.stage,
            "reason": item.reason,
            "detector": item.detector,
            "confidence": round(item.confidence, 3),
            "likely": item.likely,
            "decision": decision.decision,
        }

    def about(self, number: int) -> dict[str, Any]:
        """An item with its facts: face box, landmarks, crop, and the picture it is a copy of."""
        item = self.items[number]
        row = self._ledger.entry(item.stage, item.key)
        facts = json.loads(row.facts) if row else {}
        others = facts.get("of", [])
        keys = others if isinstance(others, list) else [others]
        numbers = [self._by_key[key] for key in keys if key in self._by_key]
        shown = {name: facts[name] for name in SHOWN if name in facts}
        crop = self.decision(number).crop
        return self.row(number) | {"facts": shown, "of": numbers, "set_crop": crop}

    def decision(self, number: int) -> ByHand:
        item = self.items[number]
        return self._decided.get(item.content, ByHand(item.key, item.content, ""))

    def decide(
        self,
        numbers: Iterable[int],
        word: Word,
        label: str | None = None,
        crop: tuple[int, int, int] | None = None,
    ) -> None:
        """Decide on pictures; a label or crop that is None stays as it was."""
        with self._lock:
            made = []
            for number in numbers:
                before = self.decision(number)
                new_label = before.label if label is None else label
                if new_label == self.items[number].label:
                    new_label = ""
                made.append(
                    before._replace(decision=word, label=new_label, crop=crop or before.crop)
                )
            self._keep(made)

    def restore(self, before: Iterable[ByHand]) -> None:
        """Bring decisions back to what they were."""
        with self._lock:
            self._keep(list(before))

    def changed(self, since: int) -> list[int]:
        """Numbers of the items that were decided on after a version."""
        return sorted(set(self._changes[since:]))

    def _keep(self, made: list[ByHand]) -> None:
        decisions.append(self._path, made)
        for decision in made:
            self._decided[decision.digest] = decision
            self._changes += self._by_content[decision.digest]

    def _label(self, item: Item) -> str:
        """The label in force: the decision's, else the folder's."""
        return self.decision(item.number).label or item.label

    def _field(self, item: Item, name: str) -> str:
        if name == "decision":
            return self.decision(item.number).decision or "none"
        if name == "label":
            return self._label(item)
        return str(getattr(item, name))


def _items(ledger: Ledger, steps: Sequence[Step], processed: Path) -> list[Item]:
    """The pictures that could be read, in order of key, each by the last stage that saw it."""
    first, last = steps[0].name, steps[-1].name
    by_key: dict[str, Item] = {}
    for step in steps:
        for row in ledger.entries(step.name):
            if step.name == first and row.output:
                by_key[row.key] = _new_item(row)
            if item := by_key.get(row.key):
                item.stage, item.latest = step.name, row.output or item.latest
                item.reason = sys.intern(row.reason or (IN_SET if step.name == last else ""))
                if not item.detector and '"detector"' in row.facts:
                    item.detector = sys.intern(json.loads(row.facts)["detector"])
    suspects = _suspects(processed / SUSPECTS)
    items = [by_key[key] for key in sorted(by_key)]
    for number, item in enumerate(items):
        item.number = number
        about = suspects.get(item.key, {})
        item.confidence, item.likely = about.get("confidence", 1.0), about.get("likely", "")
    return items


def _new_item(row: Entry) -> Item:
    """A picture as the first stage kept it; its number comes when all are known."""
    content = json.loads(row.facts)["content"]
    label = sys.intern(label_of(row.key))
    return Item(0, row.key, label, "", "", "", content, row.output, row.output)


def _suspects(path: Path) -> dict[str, dict[str, Any]]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
