"""Tables for people and spreadsheets."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.store import Place

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # formulas begin with these


def csv_text(header: Sequence[str] | None, rows: Iterable[Sequence[object]]) -> str:
    """The text of a CSV file. Without a header it is rows to append to one.

    A cell that a spreadsheet would treat as a formula gets an apostrophe in front.
    """
    text = io.StringIO()
    table = csv.writer(text)
    if header is not None:
        table.writerow(_plain(name) for name in header)
    table.writerows([_plain(value) for value in row] for row in rows)
    return text.getvalue()


def read_rows(path: Place) -> list[list[str]]:
    """The finished rows of a table, the header included; none if there is no file."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    rows = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    return [[plain_text(cell) for cell in row] for row in rows if row]


def append_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Add rows to a table; it is made if there is none. They are on disk when this returns.

    Each run of white space becomes one space, so that a row is one line. A last row that a power
    cut left unfinished is replaced.
    """
    folded = [[" ".join(cell.split()) for cell in row] for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as table:
        table.seek(0)
        finished = table.read().rfind(b"\n") + 1
        table.truncate(finished)
        table.write(csv_text(None if finished else header, folded).encode())
        table.flush()
        os.fsync(table.fileno())


def plain_text(cell: str) -> str:
    """The value that `csv_text` was given for this cell."""
    return cell[1:] if cell.startswith("'") and _may_be_formula(cell) else cell


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _may_be_formula(value) else value


def _may_be_formula(text: str) -> bool:
    """Whether a spreadsheet would treat this as a formula, with or without apostrophes in front."""
    return text.lstrip("'").startswith(FORMULA)
