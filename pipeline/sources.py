"""`sources.csv`: where each picture of a label's folder comes from, a row a picture."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.tables import csv_text, plain_text
from pipeline.trouble import Trouble

NAME = "sources.csv"


class Source(NamedTuple):
    """Where one picture comes from; "" is unknown. `file` is below the label's folder.

    `group` names what must not be divided between train and val: a film, a person, a sequence.
    `split` is the side that the picture was given by who made the set. `refused` is the reason why
    an address gave no picture; `file` is "" then.
    """

    file: str
    address: str = ""
    page: str = ""
    title: str = ""
    creator: str = ""
    licence: str = ""
    licence_address: str = ""
    query: str = ""
    time: str = ""
    sha256: str = ""
    group: str = ""
    split: str = ""
    refused: str = ""


def read(folder: Path) -> list[Source]:
    """The rows of a label's folder, none where there is no table.

    A last row that a power cut left unfinished is passed over. Raises Trouble for another table.
    """
    path = folder / NAME
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    if rows and tuple(rows[0]) != Source._fields:
        raise Trouble(f"{path} has other columns than {', '.join(Source._fields)}: move it away")
    return [Source(*map(plain_text, row)) for row in rows[1:] if len(row) == len(Source._fields)]


def append(folder: Path, sources: Iterable[Source]) -> None:
    """Add rows to a label's table; they are on disk when this returns."""
    rows = [[" ".join(value.split()) for value in source] for source in sources]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / NAME, "a+b") as table:
        table.seek(0)
        finished = table.read().rfind(b"\n") + 1
        table.truncate(finished)
        table.write(csv_text(None if finished else Source._fields, rows).encode())
        table.flush()
        os.fsync(table.fileno())
