"""A person's decisions on pictures, by their content: `processed/decisions.csv`, one per row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from pipeline import files
from pipeline.files import short_digest
from pipeline.sample import Sample
from pipeline.store import Place
from pipeline.tables import append_rows, csv_text, read_rows
from pipeline.trouble import Trouble

NAME = "decisions.csv"
COLUMNS = ("key", "digest", "decision", "label", "crop")
Word = Literal["keep", "drop", ""]
WORDS: dict[Word, str] = {"keep": "kept", "drop": "dropped"}


class ByHand(NamedTuple):
    """A decision. `digest` is the picture's fact `content`; `key` is the key it had then.

    An empty `decision` cancels an earlier one. `label` is the new label; "" keeps the folder's.
    `crop` is left, top and side of the crop in pixels of the upright picture, None if not set.
    """

    key: str
    digest: str
    decision: Word
    label: str = ""
    crop: tuple[int, int, int] | None = None

    def facts(self) -> dict[str, Any]:
        """The fact `by_hand`, as stages read it."""
        crop = {"crop": list(self.crop)} if self.crop else {}
        return {"by_hand": {"decision": self.decision, **crop}}

    def mark(self) -> str:
        """A digest that differs between two different decisions on the same picture."""
        return short_digest(f"{self.decision} {self.label} {self.crop}")


def read(path: Place, by_key: bool = False) -> dict[str, ByHand]:
    """The decisions that hold, by digest or by key. The last row of a picture counts.

    Raises Trouble if a column is missing, or if a row is not a decision.
    """
    rows = read_rows(path)
    needed = {"key" if by_key else "digest", "decision"}
    if rows and not needed <= set(rows[0]):
        raise Trouble(f"{path} needs the columns {', '.join(COLUMNS)}; it has {', '.join(rows[0])}")
    found: dict[str, ByHand] = {}
    for number, row in enumerate(rows[1:], 2):
        cells = dict(zip(rows[0], row, strict=False))
        decision = _decision(cells)
        if decision is None:
            raise Trouble(f"{path}, line {number} is not a decision: correct it or delete it")
        found[decision.key if by_key else decision.digest] = decision
    return {digest: decision for digest, decision in found.items() if decision.decision}


def counts(path: Place) -> dict[str, int]:
    """How many decisions of each kind are in force; a relabelled picture is one of its own."""
    tally = Counter(
        "relabelled" if decision.label else WORDS[decision.decision]
        for decision in read(path).values()
    )
    return dict(sorted(tally.items()))


def append(path: Path, decisions: Iterable[ByHand]) -> None:
    """Add decisions; they are on disk when this returns."""
    append_rows(path, COLUMNS, map(_cells, decisions))


def write(path: Path, decisions: Iterable[ByHand]) -> None:
    """Write a table of decisions."""
    files.write(path, csv_text(COLUMNS, map(_cells, decisions)))


def _cells(decision: ByHand) -> tuple[str, ...]:
    return (*decision[:4], " ".join(map(str, decision.crop or ())))


def applied(sample: Sample, decisions: Mapping[str, ByHand]) -> Sample:
    """The sample with a person's decision on it, if there is one."""
    decision = decisions.get(sample.facts.get("content", ""))
    if decision is None or "by_hand" in sample.facts:
        return sample
    label = decision.label or sample.label
    return replace(sample.with_facts(**decision.facts()), label=label)


def _decision(cells: Mapping[str, str]) -> ByHand | None:
    try:
        sides = [int(number) for number in cells.get("crop", "").split()]
    except ValueError:
        return None
    if cells["decision"] not in ("keep", "drop", "") or len(sides) not in (0, 3):
        return None
    word, label = cast(Word, cells["decision"]), cells.get("label", "")
    crop = (sides[0], sides[1], sides[2]) if sides else None
    return ByHand(cells.get("key", ""), cells.get("digest", ""), word, label, crop)
