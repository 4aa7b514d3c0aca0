"""What was found below a folder of pictures: files under their keys, folders, leftovers, links."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, cast

from pipeline import labels, leftovers
from pipeline.files import short_digest
from pipeline.labels import label_of
from pipeline.ledger import as_json
from pipeline.sample import Facts
from pipeline.store import Place, place
from pipeline.tars import Member


class Found(NamedTuple):
    """A file below the raw folder.

    `refusal` is the reason why it must not be opened; `facts` are what sources.csv says of it.
    `inside` are offset and size in bytes, if it is part of the tar at `path`.
    """

    key: str
    path: str
    stamp: str
    refusal: str = ""
    facts: Facts = Facts()
    inside: tuple[int, int] | None = None

    @property
    def place(self) -> Place:
        """Where its bytes lie."""
        if self.inside:  # a member has the methods by which pictures are read
            return cast(Place, Member(Path(self.path), *self.inside))
        return place(self.path)

    @property
    def label(self) -> str:
        return label_of(self.key)


@dataclass
class Listing:
    """What lies below a folder of pictures.

    `files` are in order of their paths, folder by folder. `label_folders` are the labels that have
    a folder, even an empty one. `leftovers` counts what programs left behind; `files` lacks it.
    `leading_out` are keys of links that lead out of the folder and were not followed.
    """

    root: Place
    files: list[Found] = field(default_factory=list)
    label_folders: set[str] = field(default_factory=set)
    leftovers: Counter[str] = field(default_factory=Counter)
    leading_out: list[str] = field(default_factory=list)

    def remarks(self) -> list[str]:
        """Lines for a person: folders taken as a split, leftovers, links that were not followed."""
        splits = labels.splits_among(self.keys())
        renamed = ((name, split) for name, split in splits.items() if name != split)
        taken = ", ".join(f"{name}/ is taken as {split}" for name, split in sorted(renamed))
        left_out = leftovers.summary(self.leftovers) if self.leftovers else ""
        return [f"{self.root}: {line}" for line in (taken, left_out, self._links()) if line]

    def keys(self) -> list[str]:
        return [file.key for file in self.files]

    def _links(self) -> str:
        count = len(self.leading_out)
        if not count:
            return ""
        return (
            f"{count:,} {'links lead' if count > 1 else 'link leads'} out of the folder and "
            f"{'are' if count > 1 else 'is'} not followed (first: {self.leading_out[0]}); "
            "--follow-links reads what lies there"
        )


def regular_file(key: str, path: str, stamp: str, facts: Facts) -> Found:
    """A regular file. Its stamp, which begins with the size, changes with its facts too."""
    if facts:
        stamp += f":{short_digest(as_json(facts))}"
    return Found(key, path, stamp, "" if label_of(key) else "no_label", facts)


def printable(name: str) -> str:
    """A file name that is no UTF-8 with its odd bytes spelled out, so that it can be recorded;
    backslashes are doubled where they could be taken for such a spelling.
    """
    data = os.fsencode(name)
    plain = data.decode("utf-8", "ignore").encode() == data
    if plain and b"\\x" not in data:
        return name
    return data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
