"""The lock on a place in a store. Commands respect it on whatever machine they run."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from typing import Any, Self

from pipeline.store import Address, StoreTrouble, Version
from pipeline.trouble import Trouble

NAME = ".lock"
BEAT = 20.0  # seconds between two signs of life
SILENCE = 90.0  # seconds without one after which the holder counts as killed


class StoreLock:
    """Holds the file `.lock` of a place while the context lasts; an empty one is free.

    Each change of the file is conditional on its version, so two holders cannot both succeed.
    `home` names the local folder of the holder, which only one command at a time has: a holder from
    the same home was killed. Any other counts as killed after SILENCE, by the store's clock.
    """

    def __init__(self, root: Address, home: str) -> None:
        self._root, self._home = root, home
        self._file = root / NAME
        self._version: Version | None = None
        self._beaten = 0.0
        self._busy = threading.Lock()
        self._end = threading.Event()

    def __enter__(self) -> Self:
        """Take the lock. Raises Trouble, which says who has it."""
        self._version = self._write(None) or self._take_over()
        self._thread = threading.Thread(target=self._beat_now_and_then, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if self._version:
            with suppress(StoreTrouble):
                self._file.replace_bytes(b"", self._version)

    def check(self) -> None:
        """Raise Trouble if another command has taken over, as it may after a long silence."""
        if time.monotonic() - self._beaten > BEAT:
            self._beat()
        if self._version is None:
            raise StoreTrouble(
                f"{self._root} was taken over by another command, since this one was silent for "
                f"over {SILENCE:.0f} seconds: wait for that one, then run this again"
            )

    def _write(self, before: Version | None) -> Version | None:
        """Sign in place of the version `before`; returns the new version, None where it is gone."""
        about = {
            "machine": socket.gethostname(),
            "process": os.getpid(),
            "home": self._home,
            "sign": uuid.uuid4().hex,  # no two versions are alike
        }
        data, began = json.dumps(about).encode(), time.monotonic()
        version = self._file.replace_bytes(data, before)
        if version is None and self._file.read_bytes() == data:  # written, but the answer was lost
            version = self._file.version()
        self._beaten = began
        return version

    def _take_over(self) -> Version:
        before = self._file.version()
        holder = self._file.read_bytes()
        about: dict[str, Any] = json.loads(holder) if holder else {}
        silence = self._silence() if holder and about["home"] != self._home else SILENCE
        version = self._write(before) if silence >= SILENCE else None
        if version is None:
            about = json.loads(self._file.read_bytes() or holder)
            raise Trouble(
                f"{self._root} is in use by process {about['process']} on {about['machine']}: wait "
                f"for it (if it was killed, the lock ends {SILENCE:.0f} seconds after)"
            )
        return version

    def _silence(self) -> float:
        """Seconds since the holder's last sign of life. Both times are the store's own."""
        probe = self._root / f"{NAME}-{uuid.uuid4().hex}"
        probe.write_bytes(b"")
        now, last = probe.head(), self._file.head()
        probe.unlink(missing_ok=True)
        return (now.modified - last.modified).total_seconds() if now and last else 0.0

    def _beat(self) -> None:
        with self._busy:
            if self._version:
                self._version = self._write(self._version)

    def _beat_now_and_then(self) -> None:
        while not self._end.wait(BEAT):
            with suppress(StoreTrouble):  # the work itself will find out
                self._beat()
