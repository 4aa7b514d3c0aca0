"""How a stage's rows differ from its input, found in SQLite: only what differs is handed over."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

TABLES = """
PRAGMA temp_store = MEMORY;
CREATE TABLE temp.seen (key TEXT PRIMARY KEY, stamp TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE temp.decided (content TEXT PRIMARY KEY, mark TEXT NOT NULL) WITHOUT ROWID;
"""
"""The raw files of this run, and a person's decisions by content."""

SEEN = "SELECT key, stamp FROM temp.seen"
KEPT = "SELECT key, stamp FROM outcome WHERE stage = :input AND verdict = 'kept'"
KEPT_AND_DECIDED = """
SELECT key, stamp || COALESCE(mark, '') AS stamp FROM outcome
LEFT JOIN temp.decided ON content = json_extract(facts, '$.content')
    AND json_extract(facts, '$.by_hand') IS NULL -- later stages see the fact itself
WHERE stage = :input AND verdict = 'kept'
"""


class Difference(NamedTuple):
    """Difference between a stage's rows and its input."""

    # Stamp of the input by key, in order of key: pictures that are new, changed, in error, or
    # made with other settings.
    todo: dict[str, str]
    to_remake: set[str]  # keys in `todo` that were done with other settings
    gone: set[str]  # keys that are done, but are no longer in the input


def difference(
    connection: sqlite3.Connection, stage: str, fingerprint: str, source: str | None, kept: str
) -> Difference:
    """Compare a stage's rows with its input: another stage's rows as the query `kept` gives them,
    or the files in `temp.seen` where `source` is None.
    """
    names = {"stage": stage, "fingerprint": fingerprint, "input": source}
    todo: dict[str, str] = {}
    to_remake: set[str] = set()
    for key, wanted, only_settings in connection.execute(
        f"""
        SELECT wanted.key, wanted.stamp, done.source = wanted.stamp AND done.verdict != 'error'
        FROM ({SEEN if source is None else kept}) wanted
        LEFT JOIN outcome done ON done.stage = :stage AND done.key = wanted.key
        WHERE done.key IS NULL OR done.source != wanted.stamp OR done.verdict = 'error'
            OR done.fingerprint != :fingerprint
        ORDER BY wanted.key
        """,
        names,
    ):
        todo[key] = wanted
        if only_settings:
            to_remake.add(key)
    still = f"{SEEN} WHERE key = done.key" if source is None else f"{KEPT} AND key = done.key"
    gone = connection.execute(
        f"SELECT key FROM outcome done WHERE stage = :stage AND NOT EXISTS ({still})", names
    )
    return Difference(todo, to_remake, {key for (key,) in gone})
