"""Which pictures belong together: by what their paths say, by a table, by what stages found."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.sample import Sample
from pipeline.tables import plain_text
from pipeline.union_find import UnionFind

COLUMNS = ["key", "group"]


def compiled(group_by: str) -> re.Pattern[str] | None:
    """The expression of --group-by; None where there is none. Raises ValueError for a bad one."""
    try:
        return re.compile(group_by) if group_by else None
    except re.error as error:
        raise ValueError(f"--group-by {group_by!r} is no regular expression: {error}") from error


def group_of(key: str, expression: re.Pattern[str] | None) -> str:
    """What the expression's first group (or the whole of it) finds in a key; "" for nothing.

    >>> group_of("smile/p7-1.png", re.compile(r"/(p[0-9]+)-"))
    'p7'
    """
    found = expression.search(key) if expression else None
    return (found.group(min(1, found.re.groups)) or "") if found else ""


def read_table(path: Path) -> dict[str, str]:
    """Groups by key from a CSV file with the columns key and group.

    Raises ValueError for a file that is missing, is no such table, or gives a key two groups.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"--groups {path} cannot be read: {why}") from error
    if not rows or rows[0] != COLUMNS:
        raise ValueError(f"--groups {path} must begin with the line {','.join(COLUMNS)}")
    groups: dict[str, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS):
            raise ValueError(f"--groups {path}, line {number}: two values are needed")
        key, group = map(plain_text, row)
        if groups.setdefault(key, group) != group:
            raise ValueError(f"--groups {path}, line {number}: {key} has two groups")
    return groups


def together(
    samples: Sequence[Sample], group_by: str, table: Mapping[str, str], near: bool = True
) -> list[list[Sample]]:
    """The samples in groups, sorted by key; a picture that belongs to no other is alone.

    Pictures belong together that share the fact `given_group` (from sources.csv), what `group_by`
    finds in their keys, a group of the table, or, where `near` says so, the fact `group` (pictures
    that look alike). Groups that share a picture are one.
    """
    expression = compiled(group_by)
    names = UnionFind[tuple[str, str]]()
    for sample in samples:
        shared = (
            ("group", sample.facts.get("group", "") if near else ""),
            ("given_group", sample.facts.get("given_group", "")),
            ("path", group_of(sample.key, expression)),
            ("table", table.get(sample.key, "")),
        )
        names.join([("key", sample.key), *(name for name in shared if name[1])])
    groups: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.key):
        groups[names.first(("key", sample.key))].append(sample)
    return list(groups.values())
