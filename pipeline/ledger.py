"""The ledger: one row for each stage and picture, in SQLite. Only the parent process writes it."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pipeline.difference import KEPT, KEPT_AND_DECIDED, TABLES, Difference, difference
from pipeline.files import digest, digest_all
from pipeline.ledger_file import connect, trouble
from pipeline.sample import Outcome, Sample
from pipeline.store import Place

NOTHING: Mapping[str, str] = MappingProxyType({})
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def stamp(content: str, facts: str) -> str:
    """A digest of what a stage hands on: the digest of the output's bytes, and the facts."""
    return digest(f"{content} {facts}".encode())


def as_json(value: Any) -> str:
    """JSON that is the same for the same facts. Raises TypeError for what JSON cannot hold."""
    return _JSON.encode(value)


class Entry(NamedTuple):
    """A row as reports want it. `output` is relative to the processed folder."""

    key: str
    label: str
    verdict: str
    reason: str
    output: str
    facts: str  # JSON


class Ledger:
    """The rows of one processed folder. Use as a context manager."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the file (None: an empty ledger in memory).

        Raises Trouble where it is damaged or from a newer version.
        """
        self._path = path
        self._kept = KEPT
        self._connection = connect(path, TABLES)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._connection.close()
        if isinstance(error, sqlite3.DatabaseError):
            raise trouble(self._path, error) from error

    def see(self, stamps: Iterable[tuple[str, str]]) -> None:
        """Remember the keys and stamps of the raw files until the ledger is closed."""
        with self._connection:
            self._connection.execute("DELETE FROM temp.seen")
            self._connection.executemany("INSERT INTO temp.seen VALUES (?, ?)", stamps)

    def decide(self, marks: Mapping[str, str]) -> None:
        """Remember a person's decisions by content. They become part of the stamps."""
        with self._connection:
            self._connection.execute("DELETE FROM temp.decided")
            self._connection.executemany("INSERT INTO temp.decided VALUES (?, ?)", marks.items())
        self._kept = KEPT_AND_DECIDED if marks else KEPT

    def compare(self, stage: str, fingerprint: str, source: str | None) -> Difference:
        """Difference between a stage's rows and its input.

        The input is another stage's kept rows (None: the raw files that `see` was given).
        """
        return difference(self._connection, stage, fingerprint, source, self._kept)

    def keys(self, stage: str) -> set[str]:
        """Keys of all rows of a stage."""
        rows = self._connection.execute("SELECT key FROM outcome WHERE stage = ?", (stage,))
        return {key for (key,) in rows}

    def outputs(self, stage: str) -> Iterator[tuple[str, str]]:
        """Outputs of a stage's kept pictures, each with its key."""
        with closing(self._connection.cursor()) as cursor:
            yield from cursor.execute(
                "SELECT output, key FROM outcome WHERE stage = ? AND verdict = 'kept'", (stage,)
            )

    def labels(self, stage: str) -> dict[str, dict[str, int]]:
        """How many pictures a stage kept, by side of the split ("" before it) and by label."""
        rows = self._connection.execute(  # not grouped: SQLite would sort all facts in memory
            "SELECT label, COALESCE(json_extract(facts, '$.split'), '') FROM outcome "
            "WHERE stage = ? AND verdict = 'kept'",
            (stage,),
        )
        sides: dict[str, Counter[str]] = {}
        for label, side in rows:
            sides.setdefault(side, Counter())[label] += 1
        return {side: dict(counts) for side, counts in sides.items()}

    def kept(self, stage: str) -> dict[str, str]:
        """Stamps of a stage's kept pictures by key, in order of key."""
        return dict(self._connection.execute(f"{self._kept} ORDER BY key", {"input": stage}))

    def samples(
        self, stage: str, root: Place, only: Container[str] | None = None
    ) -> Iterator[Sample]:
        """The pictures that a stage kept, in order of key, as the next stage takes them.

        `only` limits them to some keys. `root` is the processed folder.
        """
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(
                "SELECT key, label, output, facts, digest FROM outcome "
                "WHERE stage = ? AND verdict = 'kept' ORDER BY key",
                (stage,),
            )
            for key, label, output, facts, content in cursor:
                if only is None or key in only:
                    facts = json.loads(facts)
                    yield Sample(key, sys.intern(label), root / output, facts, content)

    def entries(self, stage: str) -> Iterator[Entry]:
        """All rows of a stage, in order of key."""
        return self._entries("stage = ?", stage)

    def dropped(self, stage: str) -> Iterator[Entry]:
        """A stage's rows that have a reason, in order of key."""
        return self._entries("stage = ? AND reason != ''", stage)

    def entry(self, stage: str, key: str) -> Entry | None:
        """The row of one picture; None where there is none."""
        return next(self._entries("stage = ? AND key = ?", stage, key), None)

    def _entries(self, where: str, *values: str) -> Iterator[Entry]:
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(
                "SELECT key, label, verdict, reason, output, facts FROM outcome "
                f"WHERE {where} ORDER BY key",
                values,
            )
            yield from map(Entry._make, cursor)

    def outcomes(self, stage: str) -> Iterator[Outcome]:
        """All rows of a stage as they were recorded, in order of key."""
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(
                "SELECT key, label, verdict, fingerprint, source, reason, facts, output, digest, "
                "stamp, detail FROM outcome WHERE stage = ? ORDER BY key",
                (stage,),
            )
            for row in cursor:
                yield Outcome(*row)

    def forget(self, stage: str, keys: Iterable[str]) -> None:
        """Delete rows. This comes before their files change, so that no row outlives its file."""
        with self._connection:
            self._connection.executemany(
                "DELETE FROM outcome WHERE stage = ? AND key = ?", ((stage, key) for key in keys)
            )

    def remembered(self, memory: str) -> dict[str, str]:
        """Folders (`within`) that a whole-set stage chose, by key; see `record`."""
        rows = self._connection.execute(
            "SELECT key, within FROM remembered WHERE memory = ?", (memory,)
        )
        return {key: sys.intern(within) for key, within in rows}

    def record(
        self,
        stage: str,
        outcomes: Iterable[Outcome],
        memory: str = "",
        within: Mapping[str, str] = NOTHING,
    ) -> None:
        """Write a batch of rows in one transaction, and with them what to remember: folders by key.

        What is remembered outlives the rows.
        """
        rows = (
            (
                *(stage, row.key, row.label, row.verdict, row.fingerprint, row.source),
                *(row.reason, row.facts, row.output, row.digest, row.stamp, row.detail),
            )
            for row in outcomes
        )
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO outcome VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO remembered VALUES (?,?,?)",
                ((memory, key, folder) for key, folder in within.items()),
            )

    def made_with(self, stage: str) -> dict[str, Any]:
        """The settings with which a stage was last brought up to date; empty where it never was."""
        row = self._connection.execute(
            "SELECT settings FROM made_with WHERE stage = ?", (stage,)
        ).fetchone()
        return dict(json.loads(row[0])) if row else {}

    def set_made_with(self, stage: str, settings: dict[str, Any]) -> None:
        with self._connection:
            self._connection.execute(
                "INSERT INTO made_with VALUES (?, ?) ON CONFLICT DO UPDATE "
                "SET settings = excluded.settings WHERE settings != excluded.settings",
                (stage, as_json(settings)),
            )

    def counts(self, stage: str) -> tuple[int, dict[str, int], int]:
        """Counts of one stage: kept, rejected by reason, errors."""
        tally: Counter[tuple[str, str]] = Counter()
        for verdict, reason, count in self._connection.execute(
            "SELECT verdict, reason, COUNT(*) FROM outcome WHERE stage = ? GROUP BY 1, 2", (stage,)
        ):
            tally[verdict, reason] = count
        rejected = {
            reason: count for (verdict, reason), count in tally.items() if verdict == "rejected"
        }
        errors = sum(count for (verdict, _), count in tally.items() if verdict == "error")
        return tally["kept", ""], dict(sorted(rejected.items())), errors

    def fingerprint(self, stage: str) -> str:
        """A digest of all that a stage hands on: place, side of the split and bytes of every kept
        picture.
        """
        rows = self._connection.execute(
            "SELECT output, json_extract(facts, '$.split'), digest FROM outcome "
            "WHERE stage = ? AND verdict = 'kept' ORDER BY key",
            (stage,),
        )
        parts = (f"{',' if number else ''}{as_json(row)}" for number, row in enumerate(rows))
        return digest_all(part.encode() for part in chain("[", parts, "]"))
