"""Tables for people and spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence


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


def _plain(value: object) -> object:
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value
