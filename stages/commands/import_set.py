"""Take other people's sets into raw/."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from pipeline.progress import progress
from pipeline.store import require_local
from pipeline.trouble import Usage
from stages.commands.collect import label_folder

if TYPE_CHECKING:
    from pipeline.context import Context
    from stages.collecting.placing import Item

Kind = Literal["imagefolder", "csv", "fer2013", "ck48", "jaffe", "celeba", "hf"]


@dataclass(frozen=True)
class ImportSet:
    """Take another set into raw/<label>/: imagefolder, csv, fer2013, ck48, jaffe, celeba or hf."""

    kind: Annotated[Kind | None, tyro.conf.Positional] = None
    """How the set is laid out."""
    source: Annotated[Path | None, tyro.conf.Positional] = None
    """The set's folder, or its table for csv and fer2013."""
    labels: Path | None = None
    """A CSV table with columns from and to that renames labels; an empty `to` drops one."""
    map: str | None = None
    """Labels for attributes (celeba), the first that fits: Smiling=1:smile,*:none"""

    def run(self, context: Context) -> int:
        """Returns 1 where pictures that the set names are missing."""
        from stages.collecting.imports import KINDS
        from stages.collecting.placing import place

        if self.kind is None or self.source is None:
            raise Usage(
                f"give a kind and a folder: import KIND FOLDER, KIND being {', '.join(KINDS)}"
            )
        raw = require_local(context.settings.common.raw, "import")
        names = _new_names(self.labels)
        items: dict[str, list[Item]] = {}
        for item in KINDS[self.kind](self.source, _rules(self.map)):
            if label := names.get(item.label, item.label):
                items.setdefault(label, []).append(item)
        if not items:
            raise Usage(f"{self.source}: no picture with a label was found for kind {self.kind}")
        folders = {label: label_folder(raw, label) for label in items}
        missing = 0
        for label, of_label in items.items():
            bar = progress(of_label, desc=f"import {label}", unit=" pictures")
            taken, lost = place(folders[label], bar, self.kind)
            print(f"import: {taken:,} pictures in {folders[label]}")
            missing += len(lost)
            for path in lost[:3]:
                print(f"import: {path} is named by the set, but is not there")
        if missing > 3:
            print(f"import: {missing:,} pictures are not there in all")
        return int(missing > 0)


def _rules(text: str | None) -> dict[str, str]:
    """The labels by rule, in the order given. Raises Usage for a text that holds no rules."""
    rules = dict(part.rpartition(":")[::2] for part in text.split(",")) if text else {}
    if not all(rule and label for rule, label in rules.items()):
        raise Usage(f"--map {text}: expected attribute=1:label, divided by commas")
    return rules


def _new_names(path: Path | None) -> dict[str, str]:
    """Labels' new names by their old ones. Raises Usage for a table without these columns."""
    if path is None:
        return {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as table:
            return {row["from"]: row["to"].strip() for row in csv.DictReader(table)}
    except (OSError, ValueError, KeyError) as error:
        raise Usage(f"{path} must be a CSV table with columns from and to ({error})") from error
