"""The local copies on which a command works while the processed folder lies in a store."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from pipeline import files
from pipeline.folder_lock import InUse, hold
from pipeline.store import Address, Place, StoreTrouble
from pipeline.store.copies import LocalCopies
from pipeline.store.lock import StoreLock
from pipeline.workbench import ERRORS, LEDGER, Workbench

SECONDS = 60.0  # between two times that a ledger under way goes to the store, at least
SHARE = 0.1  # of a command's time, at most, that this takes


def workbench_for(processed: Place, scratch: Path | None = None) -> Workbench:
    """The workbench of a processed folder; of one in a store, below the local folder `scratch`."""
    if isinstance(processed, Path):
        return Workbench(processed)
    return StoreWorkbench(processed, scratch or _cache_folder())


class StoreWorkbench(Workbench):
    """A local folder of its own for each address.

    The ledger comes from the store before the work and goes back after it, and now and then in
    between, always after the pictures of its rows. If the command is killed, and another machine
    goes on, it makes the pictures again whose rows were not in the store; their bytes are the same.
    """

    def __init__(self, store: Address, scratch: Path) -> None:
        name = f"{files.slug(str(store))}-{files.short_digest(str(store))}"
        super().__init__(scratch / name)
        self.processed = self._store = store
        self._copies = LocalCopies(store, self.folder)
        self._lock: StoreLock | None = None
        self._view: sqlite3.Connection | None = None  # sees whether the ledger has changed
        self._seen: int | None = None  # what it saw when the ledger was last put
        self._next_save = time.monotonic() + SECONDS

    @contextmanager
    def hold(self) -> Iterator[None]:
        """As for a local folder. The ledger is the store's in here, and in the store after it."""
        with (
            hold(self.folder, shown_as=self._store),
            StoreLock(self._store, self._home()) as self._lock,
        ):
            self._fetch_ledger()
            try:
                yield
            except BaseException:
                with suppress(StoreTrouble):
                    self._close()
                raise
            self._close()

    def read(self) -> None:
        """Get the ledger. If a command of this machine is at work on it, it is taken as it is."""
        with suppress(InUse), hold(self.folder, shown_as=self._store):
            self._fetch_ledger()

    def settle(self) -> None:
        """Nothing: what was written to a store is on disk."""

    def save(self, now: bool = True) -> None:
        """Put the ledger into the store if it has changed.

        Raises StoreTrouble where another command has taken over.
        """
        began = time.monotonic()
        if not now and began < self._next_save:
            return
        self._view = self._view or sqlite3.connect(self.ledger)
        (change,) = self._view.execute("PRAGMA data_version").fetchone()
        if change != self._seen:
            self._put_ledger(self._view)
            self._seen = change
        ended = time.monotonic()
        self._next_save = ended + max(SECONDS, (ended - began) / SHARE)

    def fetch(self, path: Path) -> None:
        self._copies.fetch(self._name(path))

    def put(self, path: Path, last: str = "") -> None:
        if path.is_relative_to(self.folder):
            self._copies.put(self._name(path), last)

    def place_of(self, path: Path) -> Place:
        inside = path.is_relative_to(self.folder)
        return self._store / self._name(path) if inside else path

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _home(self) -> str:
        """A word for this folder that no other folder has, on any machine."""
        path = self.folder / ".home"
        if not path.exists():
            files.write(path, uuid.uuid4().hex)
        return path.read_text(encoding="utf-8")

    def _fetch_ledger(self) -> None:
        """Take the store's ledger where another command has changed it.

        Its content goes into the local file through SQLite, since others may have that file open.
        """
        stored, known = (self._store / LEDGER).head(), self._copies.noted(LEDGER)[:1]
        if stored is None and known:  # the store was emptied
            for path in self.folder.glob(f"{LEDGER}*"):
                path.unlink()
        if stored is None or known == [stored.etag]:
            return
        beside = self._beside()
        self._copies.download(LEDGER, beside)
        with closing(sqlite3.connect(beside)) as new, closing(sqlite3.connect(self.ledger)) as our:
            new.backup(our)
        self._copies.note(LEDGER, stored.etag, _digest(beside))
        beside.unlink()

    def _put_ledger(self, view: sqlite3.Connection) -> None:
        if self._lock:
            self._lock.check()
        beside = self._beside()
        with closing(sqlite3.connect(beside)) as copy:
            view.backup(copy)
        digest = _digest(beside)
        if self._copies.noted(LEDGER)[1:] != [digest]:
            etag = (self._store / LEDGER).write_bytes(beside)
            self._copies.note(LEDGER, etag, digest)
        beside.unlink()

    def _close(self) -> None:
        self.save()
        self._copies.put_file(ERRORS)
        if self._view:
            self._view.close()

    def _beside(self) -> Path:
        path = self.folder / f"{files.HALF}{LEDGER}"
        path.unlink(missing_ok=True)
        return path


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "lip-expression")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
