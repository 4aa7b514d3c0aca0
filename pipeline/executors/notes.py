"""What each worker is at, in memory that the processes share."""

from __future__ import annotations

import time
from multiprocessing.sharedctypes import RawArray
from typing import NamedTuple

ROWS = 1 << 16  # chunks whose notes are held; far more than are under way at any time
SINCE, PART, ITEM, CHUNK = range(4)  # columns


class Note(NamedTuple):
    """A worker is at this item of its chunk, at this part of its work, since (time.monotonic)."""

    item: int
    part: int
    since: float


class Notes:
    """A row for each chunk, in turn. Only the chunk's worker writes it, only the parent reads it.

    The time is written first and read last, so an item never gets an older time than its own.
    """

    def __init__(self) -> None:
        self._table = RawArray("d", 4 * ROWS)
        self._row = 0

    def begin_item(self, chunk: int, item: int) -> None:
        """In a worker: it begins an item of a chunk."""
        self._row = 4 * (chunk % ROWS)
        self._table[self._row + SINCE] = time.monotonic()
        self._table[self._row + PART] = 0
        self._table[self._row + ITEM] = item
        self._table[self._row + CHUNK] = chunk

    def begin_part(self, part: int) -> None:
        """In a worker: it begins a part of that item's work."""
        self._table[self._row + SINCE] = time.monotonic()
        self._table[self._row + PART] = part

    def read(self, chunk: int) -> Note | None:
        """The last note on a chunk; None where no worker has begun it."""
        row = 4 * (chunk % ROWS)
        if self._table[row + CHUNK] != chunk:
            return None
        item, part = int(self._table[row + ITEM]), int(self._table[row + PART])
        return Note(item, part, self._table[row + SINCE])
