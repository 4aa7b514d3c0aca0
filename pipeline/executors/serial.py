"""All work in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Self

from pipeline.executors import R, T


class Serial:
    """One item after the other, in this process: for tests, debugging and `--workers 0`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(
        self, function: Callable[[T], R], items: Iterable[T]
    ) -> Iterator[tuple[T, R | Exception]]:
        """As the protocol says; results come in the order of the items."""
        for item in items:
            try:
                yield item, function(item)
            except Exception as error:
                yield item, error
