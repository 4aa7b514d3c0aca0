"""Work on a Ray cluster: chunks of items travel to its nodes."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlsplit

from pipeline.executors import Lost, R, T, in_order
from pipeline.executors.chunk_queue import LOSSES, Chunk, ChunkQueue
from pipeline.executors.processes import Processes
from pipeline.trouble import Trouble, Usage

if TYPE_CHECKING:
    from ray import ObjectRef

AHEAD = 2  # chunks for each CPU: one that is worked on, one that waits
CHUNK_SECONDS = 0.5  # how long a chunk should take
LONGEST_CHUNK = 256  # items
LOOK_SECONDS = 5.0  # between two looks at how many CPUs the cluster has
ANSWER_SECONDS = 5.0  # in which a cluster's port must answer
NO_CPU_SECONDS = 600.0  # in which a cluster without any CPU must get one; clouds take minutes
STORE = 100_000_000  # bytes of shared memory for results, in a Ray that is started here
ENVIRONMENT = {  # Ray reads it when it is imported
    "RAY_USAGE_STATS_ENABLED": "0",  # it reports to nobody
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # and does not print its nodes' logs into our progress
    "RAY_worker_niceness": "0",  # its workers have the same priority as this program
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # it hides no GPU, and does not warn that it did
}


NO_CPU = (
    "the cluster has no CPU left: start its machines again, then run the same command again; it "
    "goes on from here"
)
NODES_LOST = (
    f"its machine was lost {LOSSES + 1} times, the last time with nothing else at work; "
    "did it need more memory than the machine has?"
)


class Terms(NamedTuple):
    """How workers work: the driver's folder, and seconds and gigabytes as for Processes."""

    folder: str
    timeout: float
    memory: float


class Ray:
    """Ray tasks over chunks of items. Each Ray worker keeps a worker process of its own.

    That process comes from `Processes`, so a crash, a time-out and too much memory cost the item
    at fault, as they do on one machine. The driver only has to care for Ray workers and nodes
    that are lost.
    """

    def __init__(
        self, address: str | None, workers: int, timeout: float = 30.0, memory: float = 1.5
    ) -> None:
        """`address` is a cluster's; None starts Ray on this machine, with so many `workers`."""
        self._address = address
        self._workers = workers
        self._terms = Terms(str(Path.cwd()), timeout, memory)
        self._connection = ExitStack()

    def __enter__(self) -> Self:
        """Raises Usage where Ray is not installed, Trouble where nobody listens at the address."""
        if find_spec("ray") is None:
            raise Usage("--executor ray needs Ray: pip install 'lip-expression[ray]'")
        _require_answer(self._address)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def map(
        self, function: Callable[[T], R], items: Iterable[T]
    ) -> Iterator[tuple[T, R | Exception]]:
        """As the protocol says. Takes only a few chunks for each CPU ahead.

        The chunk of a lost Ray worker is halved; an item over which two were lost is Lost. The
        chunk of a lost node is done once more; after LOSSES nodes each of its items is done while
        nothing else is under way, and is Lost if one more node goes. Raises Trouble where a node
        cannot do the work, or the cluster has no node left.
        """
        from ray import get, remote
        from ray.exceptions import NodeDiedError, ObjectLostError, RayError, RayTaskError

        self.connect()
        work = remote(num_cpus=1, max_retries=0)(_results)
        queue = ChunkQueue(items)
        pending: dict[ObjectRef, Chunk[T]] = {}
        size, window = 1, _Window(self)
        while True:
            while len(pending) < window.size():
                chunk = queue.next(size, len(pending))
                if chunk is None:
                    break
                try:
                    pending[work.remote(function, chunk.items, self._terms)] = chunk
                except ImportError as error:  # of a ray:// address, whose head takes it apart
                    raise Trouble(_explained(error)) from error
            if not pending:
                return
            for ref in _ended(list(pending)):
                chunk = pending.pop(ref)
                try:
                    results, seconds = get(ref)
                except RayTaskError as error:
                    raise Trouble(_explained(error)) from error
                except (NodeDiedError, ObjectLostError):
                    if chunk.alone:
                        yield chunk.items[0], Lost("crashed", NODES_LOST)
                    else:
                        queue.put_back(chunk.after_node_loss())
                except RayError as error:
                    if chunk.suspect:
                        yield chunk.items[0], Lost("crashed", f"its Ray worker was lost: {error}")
                    else:
                        queue.put_back(chunk.after_worker_loss())
                else:
                    size = max(1, min(LONGEST_CHUNK, int(CHUNK_SECONDS * len(results) / seconds)))
                    yield from zip(chunk.items, results, strict=True)

    def connect(self) -> None:
        """Connect to the cluster, or start Ray here, where that is not done yet.

        Raises Trouble where the cluster does not answer.
        """
        os.environ.update(ENVIRONMENT)
        import ray

        if ray.is_initialized():
            return
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        at_end = signal.getsignal(signal.SIGTERM)
        try:
            if self._address is None:
                folder = self._connection.enter_context(
                    # Names of sockets must be short, so it lies in no deep folder.
                    TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True)
                )
                ray.init(
                    "local",
                    num_cpus=self._workers,
                    object_store_memory=STORE,
                    include_dashboard=False,
                    _temp_dir=folder,
                    **quiet,
                )
            else:
                ray.init(self._address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = f"reach Ray at {self._address}" if self._address else "start Ray"
            raise Trouble(f"cannot {where}: {error}") from error
        signal.signal(signal.SIGTERM, at_end)  # Ray set one of its own
        self._connection.callback(ray.shutdown)

    def count(self, resource: str) -> int:
        """How many of a resource (CPU, GPU) the connected cluster has now."""
        from ray import cluster_resources

        return int(cluster_resources().get(resource, 0))


def _require_answer(address: str | None) -> None:
    """Raise Trouble where nobody listens at HOST:PORT; Ray itself would try for minutes."""
    place = urlsplit(f"//{(address or '').removeprefix('ray://')}")
    try:
        if place.hostname and place.port:
            socket.create_connection((place.hostname, place.port), ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise Trouble(f"cannot reach Ray at {address}: {error}") from error


class _Window:
    """How many chunks may be under way: as many as the cluster's CPUs take, whatever joins it."""

    def __init__(self, executor: Ray) -> None:
        self._executor = executor
        self._size = 0
        self._due = 0.0
        self._without = 0.0  # since when there is no CPU; 0 while there is one

    def size(self) -> int:
        """Raises Trouble where the cluster has been without a CPU for NO_CPU_SECONDS."""
        now = time.monotonic()
        if now >= self._due:
            cpus = self._executor.count("CPU")
            self._without = 0.0 if cpus else self._without or now
            if not cpus and now - self._without > NO_CPU_SECONDS:
                raise Trouble(NO_CPU)
            self._size = AHEAD * max(1, cpus)
            self._due = now + LOOK_SECONDS
        return self._size


def _ended(pending: list[ObjectRef]) -> list[ObjectRef]:
    """Wait for the first chunk that ends; returns all that have. None after LOOK_SECONDS."""
    from ray import wait

    wait(pending, timeout=LOOK_SECONDS)
    ended: list[ObjectRef] = wait(pending, num_returns=len(pending), timeout=0)[0]
    return ended


def _explained(error: Exception) -> str:
    """What a node needs, after the last line of what went wrong on it."""
    last = str(error).strip().splitlines()[-1]
    return (
        f"a node of the cluster cannot do the work ({last}): every node needs the program and "
        "the pictures under the same paths as here; see docs/scale.md"
    )


def _results(
    function: Callable[[T], R], items: list[T], terms: Terms
) -> tuple[list[R | Exception], float]:
    """In a Ray worker: the results of a chunk's items in order, and the seconds they took."""
    began = time.perf_counter()
    results = [result for _, result in in_order(_own_process(terms), function, items)]
    return results, time.perf_counter() - began


@cache
def _own_process(terms: Terms) -> Processes:
    """In a Ray worker: its worker process, which is kept from chunk to chunk with its models."""
    os.chdir(terms.folder)
    # Ray's own main module; the spawned process would import it, and Ray with it.
    vars(sys.modules["__main__"]).pop("__file__", None)
    return Processes(1, terms.timeout, terms.memory)
