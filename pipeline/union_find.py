"""Sets of items that are joined step by step (union-find)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class UnionFind(Generic[T]):
    """Sets of items. Each item is alone until it is joined with others."""

    def __init__(self) -> None:
        self._above: dict[T, T] = {}

    def first(self, item: T) -> T:
        """The item that stands for the set of this one."""
        above = self._above.get(item, item)
        while above != item:
            higher = self._above.get(above, above)
            self._above[item] = higher  # halves the way for the next time
            item, above = above, higher
        return item

    def join(self, items: Iterable[T]) -> None:
        """Make one set of the sets of all these items."""
        firsts = [self.first(item) for item in items]
        for first in firsts:
            self._above[self.first(first)] = self.first(firsts[0])
