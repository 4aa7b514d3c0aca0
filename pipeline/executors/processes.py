"""Work in several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import resource_tracker
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self

from pipeline.executors import Lost, R, T, part_listeners
from pipeline.executors.notes import Note, Notes

if TYPE_CHECKING:
    from pebble import ProcessFuture, ProcessPool

AHEAD = 4  # chunks that wait for each worker
CHUNK_SECONDS = 0.1  # how long a chunk should take
LONGEST_CHUNK = 32  # items
LOOK_SECONDS = 0.5  # between two looks for items that take too long

Results = tuple[list[R | Exception], float]
"""Of the items of a chunk, and the seconds they took together."""


@dataclass(frozen=True)
class Chunk(Generic[T]):
    """Items that travel together. `number` tells the notes on it from those on others."""

    number: int
    items: list[T]


class Processes:
    """Spawned worker processes (dlib and OpenCV do not survive a fork), started at the first use.

    A worker that dies or takes too long costs only the item it held; a new one takes its place.
    """

    def __init__(self, workers: int, timeout: float = 30.0, memory: float = 1.5) -> None:
        """`timeout` is in seconds for each part of an item, `memory` in gigabytes a worker."""
        self._workers = workers
        self._timeout = timeout
        self._memory = memory
        self._chunks = 0
        self._pool: ProcessPool | None = None
        self._notes: Notes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.stop() if kind else self._pool.close()
            self._pool.join()

    def map(
        self, function: Callable[[T], R], items: Iterable[T]
    ) -> Iterator[tuple[T, R | Exception]]:
        """As the protocol says. Takes only a few items for each worker ahead.

        Items travel in chunks of about CHUNK_SECONDS. Where a worker is lost over a chunk, the
        items before and after the one at fault are done in chunks of their own. An item over
        which a worker crashed in company is tried once more alone.
        """
        items = iter(items)
        retries: deque[list[T]] = deque()
        pending: dict[ProcessFuture[Results[R]], Chunk[T]] = {}
        size = 1
        while True:
            while len(pending) < AHEAD * self._workers:
                batch = retries.popleft() if retries else list(islice(items, size))
                if not batch:
                    break
                self._chunks += 1
                chunk = Chunk(self._chunks, batch)
                pending[self._schedule(function, chunk)] = chunk
            if not pending:
                return
            for future, note in self._ended(pending):
                batch = pending.pop(future).items
                failure = self._failure(future, note)
                if failure is None:
                    results, seconds = future.result()
                    size = max(1, min(LONGEST_CHUNK, int(CHUNK_SECONDS * len(batch) / seconds)))
                    yield from zip(batch, results, strict=True)
                    continue
                at = note.item if note else 0
                parts = [batch[:at], batch[at : at + 1], batch[at + 1 :]]
                if future.cancelled() or len(batch) == 1:
                    yield batch[at], failure
                    parts[1] = []
                elif note is None:
                    parts = [[item] for item in batch]
                retries.extend(part for part in parts if part)

    def _schedule(self, function: Callable[[T], R], chunk: Chunk[T]) -> ProcessFuture[Results[R]]:
        if self._pool is None:
            from pebble import ProcessPool

            resource_tracker.ensure_running()  # started later, it would unblock Ctrl-C
            self._notes = Notes()
            self._pool = ProcessPool(
                self._workers,
                initializer=_start_worker,
                initargs=[self._memory, os.getpid(), self._notes],
                context=multiprocessing.get_context("spawn"),
            )
        with _ctrl_c_blocked():
            return self._pool.schedule(_results, args=(function, chunk))

    def _ended(
        self, pending: Mapping[ProcessFuture[Results[R]], Chunk[T]]
    ) -> list[tuple[ProcessFuture[Results[R]], Note | None]]:
        """Chunks that are done, and those stopped now because an item takes too long; each with
        the last note on it.
        """
        wait(pending, LOOK_SECONDS, FIRST_COMPLETED)
        ended = []
        for future, chunk in pending.items():
            done = future.done()  # asked first: the note on a chunk that is done is the last
            note = self._notes.read(chunk.number) if self._notes else None
            late = note is not None and time.monotonic() - note.since > self._timeout
            if done or (late and future.cancel()):
                ended.append((future, note))
        return ended

    def _failure(self, future: ProcessFuture[Results[R]], note: Note | None) -> Lost | None:
        """Why a chunk has no results; None where it has."""
        from pebble import ProcessExpired

        part = note.part if note else 0
        if future.cancelled():
            return Lost("timed_out", f"took more than {self._timeout:g} seconds", part)
        failure = future.exception()
        if isinstance(failure, ProcessExpired):
            return Lost("crashed", f"its worker ended with exit code {failure.exitcode}", part)
        if isinstance(failure, Exception):
            return Lost("crashed", f"its worker could not go on: {failure!r}", part)
        if failure is not None:
            raise failure
        return None


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Threads begun in here, and the workers they start, get no Ctrl-C, not even at their start."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_notes: Notes | None = None
"""In a worker: where it notes what it is at."""


def _start_worker(memory: float, parent: int, notes: Notes) -> None:
    """One process uses one core, and none outlives the parent, which alone handles Ctrl-C.

    What decoders print past Python is dropped: it would run through the progress bar.
    """
    global _notes
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    limit = int(memory * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _notes = notes
    part_listeners.append(notes.begin_part)
    import cv2

    cv2.setNumThreads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _end_with(parent: int) -> None:
    """End this worker soon after its parent was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _results(function: Callable[[T], R], chunk: Chunk[T]) -> Results[R]:
    """In a worker: results of a chunk, and the seconds they took."""
    began = time.perf_counter()
    results: list[R | Exception] = []
    for place, item in enumerate(chunk.items):
        if _notes:
            _notes.begin_item(chunk.number, place)
        try:
            results.append(function(item))
        except Exception as error:
            results.append(_portable(error))
    return results, max(time.perf_counter() - began, 1e-6)


def _portable(error: Exception) -> Exception:
    """The exception, or one with its text where it does not survive the way to the parent."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
