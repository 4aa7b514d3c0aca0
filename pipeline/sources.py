"""`sources.csv`: where each picture of a label's folder comes from, one row per picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.sample import Facts
from pipeline.store import Place
from pipeline.tables import append_rows, read_rows
from pipeline.trouble import Trouble

NAME = "sources.csv"


class Source(NamedTuple):
    """Where one picture comes from; "" is unknown. `file` is below the label's folder.

    `group` names what must not be divided between train and val: a film, a person, a sequence.
    `split` is the split that the makers of the set put the picture in. `refused` is the reason why
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


def read(folder: Place) -> list[Source]:
    """The rows of a label's folder; none if there is no table.

    A last row that a power cut left unfinished is skipped. Raises Trouble if the table has other
    columns, which means that it is the user's own.
    """
    rows = read_rows(folder / NAME)
    if rows and tuple(rows[0]) != Source._fields:
        columns = ", ".join(Source._fields)
        raise Trouble(f"{folder / NAME} has other columns than {columns}: move it away")
    return [Source(*row) for row in rows[1:] if len(row) == len(Source._fields)]


def facts(folder: Place) -> dict[str, Facts]:
    """The facts in a folder's table, by file. Later stages carry them on.

    `origin` holds address, page, title, creator, licence and the like; `given_group` and
    `given_split` are there if the table has them. A user's own table gives no facts.
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
    append_rows(folder / NAME, Source._fields, sources)
