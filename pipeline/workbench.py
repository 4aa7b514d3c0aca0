"""Where a command works on the ledger, the training cache and the runs of a processed folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.folder_lock import hold
from pipeline.store import Place

LEDGER = "ledger.sqlite"
ERRORS = "errors.log"


class Workbench:
    """The processed folder itself: there is nothing to fetch and nothing to put.

    `pipeline/store/workbench.py` has the one of a processed folder that lies in a store.
    """

    def __init__(self, folder: Path) -> None:
        self.processed: Place = folder
        self.folder = folder

    @property
    def ledger(self) -> Path:
        return self.folder / LEDGER

    @property
    def errors(self) -> Path:
        return self.folder / ERRORS

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the processed folder to this command. Raises Trouble, which says who has it."""
        with hold(self.folder):
            yield

    def read(self) -> None:
        """Get the ledger, for a command that only reads it."""

    def settle(self) -> None:
        """Return when all files that were written are on disk; rows come only after that."""
        os.sync()

    def save(self, now: bool = True) -> None:
        """Let what the ledger says be known to others too; without `now` only if it is time."""

    def fetch(self, path: Path) -> None:
        """Get a folder, or what of it has changed elsewhere."""

    def put(self, path: Path, last: str = "") -> None:
        """Hand a folder or a file on. The file `last` comes last: it says that all is there."""

    def place_of(self, path: Path) -> Place:
        """Where others find a path of the folder; for messages."""
        return path
