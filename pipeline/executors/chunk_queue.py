"""Chunks of items that travel to a cluster, and what becomes of one that is lost on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Generic

from pipeline.executors import T

LOSSES = 2  # a chunk that was lost with so many nodes may be what took them down


@dataclass(frozen=True)
class Chunk(Generic[T]):
    """Items that travel together.

    `suspect`: a single item over which a worker died already. `nodes`: how many nodes it was lost
    with. `alone`: a single item that is done while no other chunk is under way.
    """

    items: list[T]
    suspect: bool = False
    nodes: int = 0
    alone: bool = False

    def after_worker_loss(self) -> list[Chunk[T]]:
        """The chunk in two halves; a single item is suspect from now on."""
        if len(self.items) == 1:
            return [replace(self, suspect=True)]
        half = len(self.items) // 2
        return [replace(self, items=part) for part in (self.items[:half], self.items[half:])]

    def after_node_loss(self) -> list[Chunk[T]]:
        """The chunk once more; after LOSSES its items alone: the next loss has a culprit."""
        if self.nodes + 1 < LOSSES:
            return [replace(self, nodes=self.nodes + 1)]
        return [Chunk([item], alone=True) for item in self.items]


class ChunkQueue(Generic[T]):
    """Chunks to do: those that were lost, then new ones, then those that are done alone."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self._again: deque[Chunk[T]] = deque()
        self._alone: deque[Chunk[T]] = deque()

    def next(self, size: int, under_way: int) -> Chunk[T] | None:
        """The next chunk, of `size` items if it is new. None where none may begin now, while so
        many are under way.
        """
        if self._again:
            return self._again.popleft()
        if items := list(islice(self._items, size)):
            return Chunk(items)
        return self._alone.popleft() if self._alone and not under_way else None

    def put_back(self, chunks: Iterable[Chunk[T]]) -> None:
        """Chunks that are to be done once more."""
        for chunk in chunks:
            (self._alone if chunk.alone else self._again).append(chunk)
