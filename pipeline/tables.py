"""Tables for people and spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of one


def csv_text(header: Sequence[str] | None, rows: Iterable[Sequence[object]]) -> str:
    """The text of a CSV file, or (without a header) of more rows for one; a name that a
    spreadsheet would take for a formula stays a name.
    """
    text = io.StringIO()
    table = csv.writer(text)
    if header is not None:
        table.writerow(_plain(name) for name in header)
    table.writerows([_plain(value) for value in row] for row in rows)
    return text.getvalue()


def plain_text(cell: str) -> str:
    """What `csv_text` was given for a cell."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
