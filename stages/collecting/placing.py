"""Put the pictures of another set into a label's folder below raw/."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import files
from pipeline.pictures import encode_png
from pipeline.sample import Image
from pipeline.sources import Source, append, read

BATCH = 256  # rows of sources.csv to a write


class Item(NamedTuple):
    """One picture of a set.

    `origin` is its file, or its grey values (H×W uint8) in a set that is a table of numbers. `name`
    tells it from the set's other pictures of its label. `group` names what must not be divided
    between train and val, such as a person.
    """

    label: str
    name: str
    origin: Path | Image
    group: str = ""
    split: str = ""


def place(folder: Path, items: Iterable[Item], kind: str) -> tuple[int, list[Path]]:
    """Link or write a label's pictures into its folder, with their rows in sources.csv.

    Those that an earlier import placed are passed over. Returns how many the folder has of this
    set now, and the files that are missing.
    """
    there = {source.file for source in read(folder)}
    taken, lost, rows = 0, [], []
    for item in items:
        name = _name(item, kind)
        if name not in there:
            if isinstance(item.origin, np.ndarray):
                files.write(folder / name, encode_png(np.dstack([item.origin] * 3)))
            elif item.origin.is_file():
                files.link(item.origin.resolve(), folder / name)
            else:
                lost.append(item.origin)
                continue
            about = Source(name, title=item.name, query=kind, group=item.group, split=item.split)
            rows.append(about)
        taken += 1
        if len(rows) >= BATCH:
            append(folder, rows)
            rows.clear()
    append(folder, rows)
    return taken, lost


def _name(item: Item, kind: str) -> str:
    """A file name that tells an item from all others of its label."""
    whole = f"{kind} {item.split} {item.name}"
    suffix = item.origin.suffix.lower() if isinstance(item.origin, Path) else ".png"
    return f"{files.slug(Path(item.name).stem)}-{files.short_digest(whole)}{suffix}"
