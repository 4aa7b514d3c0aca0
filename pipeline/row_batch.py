"""Rows on their way to the ledger."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from pipeline.ledger import Ledger
from pipeline.sample import Outcome
from pipeline.workbench import Workbench

ROWS = 512  # of the first stage to a commit, and
SECONDS = 5.0  # no longer than this between two commits


class RowBatch:
    """Collects rows and commits them in batches. Use as a context manager.

    One sync of the disk goes before each commit, so that no row is there without its file.
    """

    def __init__(self, ledger: Ledger, workbench: Workbench) -> None:
        self._ledger = ledger
        self._workbench = workbench
        self._rows: dict[str, list[Outcome]] = defaultdict(list)
        self._committed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._commit()

    def add(self, rows: Mapping[str, Outcome]) -> None:
        """Take rows of one picture, by stage name."""
        for stage, row in rows.items():
            self._rows[stage].append(row)
        full = max(map(len, self._rows.values()), default=0) >= ROWS
        if full or time.monotonic() - self._committed > SECONDS:
            self._commit()

    def _commit(self) -> None:
        self._workbench.settle()
        for stage, rows in self._rows.items():
            self._ledger.record(stage, rows)
        self._workbench.save(now=False)
        self._rows.clear()
        self._committed = time.monotonic()
