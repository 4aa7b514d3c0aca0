"""`sources.csv`: where each picture of a label's folder comes from, a row a picture."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.sample import Facts
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

    A last row that a power cut left unfinished is passed over. Raises Trouble where the table is
    the user's own, with other columns.
    """
    rows = _rows(folder / NAME)
    if rows and tuple(rows[0]) != Source._fields:
        columns = ", ".join(Source._fields)
        raise Trouble(f"{folder / NAME} has other columns than {columns}: move it away")
    return [Source(*map(plain_text, row)) for row in rows[1:] if len(row) == len(Source._fields)]


def _rows(path: Path) -> list[list[str]]:
    """The finished rows of a table; none where there is no table."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    return list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))


def facts(folder: Path) -> dict[str, Facts]:
    """What a folder's table says of its pictures, by file: the facts that later stages carry.

    `origin` holds address, page, title, creator, licence and the like; `given_group` and
    `given_split` are there where the table has them. A user's own table says nothing.
    """
    try:
        return {source.file: _facts(source) for source in read(folder) if source.file}
    except Trouble:
        return {}


def _facts(source: Source) -> Facts:
    about = source._asdict()
    group, split = about.pop("group"), about.pop("split")
    del about["file"], about["refused"]
    found: Facts = {"origin": {name: value for name, value in about.items() if value}}
    if group:
        found["given_group"] = group
    if split:
        found["given_split"] = split
    return found


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
