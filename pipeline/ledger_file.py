"""The ledger's file: its tables, and how it is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pipeline.trouble import Trouble

VERSION = 2
PAGE = 16384  # bytes; of a row over a quarter of a page the rest would take a page of its own
SCHEMA = """
CREATE TABLE IF NOT EXISTS outcome (
    stage TEXT, key TEXT, label TEXT NOT NULL, verdict TEXT NOT NULL, fingerprint TEXT NOT NULL,
    source TEXT NOT NULL, reason TEXT NOT NULL, facts TEXT NOT NULL, output TEXT NOT NULL,
    digest TEXT NOT NULL, stamp TEXT NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (stage, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS made_with (stage TEXT PRIMARY KEY, settings TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS remembered (
    memory TEXT, key TEXT, within TEXT NOT NULL, PRIMARY KEY (memory, key)
) WITHOUT ROWID;
"""


def connect(path: Path | None, temporary: str) -> sqlite3.Connection:
    """Open or create a ledger's file (None: an empty ledger in memory).

    `temporary` is a script that makes tables for this connection alone.

    Raises Trouble where it is damaged or from a newer version.
    """
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path or ":memory:")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise Trouble(f"{path} is from a newer version of this program: update it")
        connection.execute(f"PRAGMA page_size={PAGE}")  # of a new file
        connection.execute("PRAGMA journal_mode=WAL")
        if version < VERSION:
            connection.executescript(f"{SCHEMA} PRAGMA user_version={VERSION};")
        connection.executescript(temporary)
    except sqlite3.DatabaseError as error:
        raise trouble(path, error) from error
    return connection


def trouble(path: Path | None, error: sqlite3.DatabaseError) -> Trouble:
    """What a user can do about an error of SQLite."""
    if isinstance(error, sqlite3.OperationalError):
        return Trouble(
            f"{path} cannot be used now ({error}): see to that, then run the same "
            "command again; it goes on from here"
        )
    return Trouble(
        f"{path} is damaged ({error}): move it away and run the same command again; "
        "everything is made anew from the raw folder"
    )
