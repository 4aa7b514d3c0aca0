"""Who does the work: one protocol, two ways (this process, or several)."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from functools import partial
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from pebble import ProcessFuture, ProcessPool

AHEAD = 4  # chunks a worker has waiting
MOMENT = 0.1  # seconds that a chunk should take
LONGEST = 32  # items in a chunk

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Maps a function over items; what goes wrong with one item is that item's result."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def map(
        self, function: Callable[[T], R], items: Iterable[T]
    ) -> Iterator[tuple[T, R | Exception]]:
        """Pairs of item and result, or the exception in its place, in any order."""
        ...


def in_order(
    executor: Executor, function: Callable[[T], R], items: Iterable[T]
) -> Iterator[tuple[T, R | Exception]]:
    """As the executor's `map`, in the order of the items."""
    early: dict[int, tuple[T, R | Exception]] = {}
    due = 0
    for (place, item), result in executor.map(partial(_of_second, function), enumerate(items)):
        early[place] = item, result
        while due in early:
            yield early.pop(due)
            due += 1


def _of_second(function: Callable[[T], R], numbered: tuple[int, T]) -> R:
    return function(numbered[1])


class Serial:
    """In this process, one after the other: for tests, debugging and `--workers 0`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(
        self, function: Callable[[T], R], items: Iterable[T]
    ) -> Iterator[tuple[T, R | Exception]]:
        for item in items:
            try:
                yield item, function(item)
            except Exception as error:
                yield item, error


class Processes:
    """Spawned worker processes (dlib and OpenCV do not survive a fork), started at the first use.

    Pebble notices a worker that dies or outlasts `timeout` seconds; only the picture it held
    is lost, and a new worker takes its place.
    """

    def __init__(self, workers: int, timeout: float = 30.0, memory: float = 1.5) -> None:
        """`timeout` in seconds for each item, `memory` in gigabytes for each worker."""
        self._workers = workers
        self._timeout = timeout
        self._memory = memory
        self._pool: ProcessPool | None = None

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
        """As the protocol says; holds a few items per worker ahead, so memory stays flat.

        Items travel in chunks, as many as are done in a moment. Where a worker dies over a chunk
        or takes too long, its items are tried one by one: only the one at fault is lost.
        """
        items = iter(items)
        again: deque[list[T]] = deque()
        pending: dict[ProcessFuture[tuple[list[R | Exception], float]], list[T]] = {}
        size = 1
        while True:
            while len(pending) < AHEAD * self._workers:
                chunk = again.popleft() if again else list(islice(items, size))
                if not chunk:
                    break
                pending[self._schedule(function, chunk)] = chunk
            if not pending:
                return
            finished = wait(pending, return_when=FIRST_COMPLETED).done
            for future in [one for one in pending if one in finished]:
                chunk = pending.pop(future)
                failure = future.exception()
                if failure is None:
                    results, seconds = future.result()
                    size = max(1, min(LONGEST, int(MOMENT * len(chunk) / max(seconds, 1e-6))))
                    yield from zip(chunk, results, strict=True)
                elif not isinstance(failure, Exception):
                    raise failure
                elif len(chunk) == 1:
                    yield chunk[0], failure
                else:
                    again.extend([item] for item in chunk)

    def _schedule(
        self, function: Callable[[T], R], chunk: list[T]
    ) -> ProcessFuture[tuple[list[R | Exception], float]]:
        if self._pool is None:
            from pebble import ProcessPool

            self._pool = ProcessPool(
                self._workers,
                initializer=_start_worker,
                initargs=[self._memory, os.getpid()],
                context=multiprocessing.get_context("spawn"),
            )
        return self._pool.schedule(_each, args=(function, chunk), timeout=self._timeout)


def _start_worker(memory: float, parent: int) -> None:
    """Ctrl-C is the parent's to handle, one process uses one core, none outlives the parent, and
    what decoders print of themselves, past Python, does not run through the progress bar.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    limit = int(memory * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import cv2

    cv2.setNumThreads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _end_with(parent: int) -> None:
    """End this worker soon after its parent was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _each(function: Callable[[T], R], chunk: list[T]) -> tuple[list[R | Exception], float]:
    """Results of a chunk, and the seconds they took."""
    began = time.perf_counter()
    results = [_guarded(function, item) for item in chunk]
    return results, time.perf_counter() - began


def _guarded(function: Callable[[T], R], item: T) -> R | Exception:
    """The result, or the exception in a form that survives the way back to the parent."""
    try:
        return function(item)
    except Exception as error:
        trace = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
        except Exception:  # a class that cannot be copied; what it says can
            error = RuntimeError(f"{type(error).__name__}: {error}")
        error.traceback = trace  # type: ignore[attr-defined]
        return error
