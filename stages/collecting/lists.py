"""A user's own list of addresses: one a line, or a CSV table with a column `address` or `url`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from pipeline.trouble import Usage
from stages.collecting.engines import Candidate

COLUMNS = {"url": "address", "address": "address", "license": "licence", "creator": "creator"}
COLUMNS |= {"licence": "licence", "label": "label", "page": "page", "title": "title"}


def read_addresses(path: Path, label: str | None) -> Iterator[Candidate]:
    """Candidates in the file's order; those without a label of their own have `label`.

    Raises Usage where the file cannot be read, or an address has no label.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"{path} cannot be read ({error})") from error
    header = next(csv.reader(lines[:1]), [])
    names = [COLUMNS.get(name.strip().lower(), "") for name in header]
    if "address" in names:
        rows = [dict(zip(names, row, strict=False)) for row in csv.reader(lines[1:])]
    else:
        rows = [{"address": line.strip()} for line in lines]
    for number, row in enumerate(rows, 1 + ("address" in names)):
        row.pop("", None)
        if not row.get("address"):
            continue
        candidate = Candidate(
            **{"label": label or "", **{name: cell for name, cell in row.items() if cell}}
        )
        if not candidate.label:
            raise Usage(f"{path}, line {number}: no label; give a column `label`, or --label")
        yield candidate
