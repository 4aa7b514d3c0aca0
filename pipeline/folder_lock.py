"""The lock on a local folder, which one process at a time has to itself."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.files import HALF
from pipeline.store import Place
from pipeline.trouble import Trouble


class InUse(Trouble):
    """Another process has a folder to itself."""


@contextmanager
def hold(folder: Path, shown_as: Place | None = None) -> Iterator[None]:
    """Keep a folder to this process. Raises InUse, which says which process has it.

    `shown_as` is its name in messages, if it is not the path.

    If the work in here ends in Trouble, half-written files of its workers are removed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise Trouble(f"{folder} cannot be written to ({error.strerror})") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            raise InUse(
                f"{shown_as or folder} is in use by process {holder}: wait for it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        except Trouble:
            for path, _, names in os.walk(folder):
                for name in names:
                    if re.match(re.escape(HALF) + r"\d", name):
                        Path(path, name).unlink(missing_ok=True)
            raise
