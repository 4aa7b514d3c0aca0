"""Who does the work: one protocol, and a module for each way to follow it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Literal, Protocol, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Maps a function over items. What goes wrong with one item is that item's result."""

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
        """Pairs of item and result, or the exception in its place, in any order.

        The exception is Lost where the item killed its worker or took too long.
        """
        ...


class Lost(Exception):
    """A worker crashed or timed out over an item. `part` is the part of the work it was at."""

    def __init__(
        self, reason: Literal["crashed", "timed_out"], message: str, part: int = 0
    ) -> None:
        super().__init__(reason, message, part)
        self.reason = reason
        self.part = part

    def __str__(self) -> str:
        return str(self.args[1])


part_listeners: list[Callable[[int], None]] = []
"""What an executor's worker wants to be told of `begin_part`."""


def begin_part(part: int) -> None:
    """Say that part number `part` of an item's work begins. A time-out counts from here."""
    for listener in part_listeners:
        listener(part)


def in_order(
    executor: Executor, function: Callable[[T], R], items: Iterable[T]
) -> Iterator[tuple[T, R | Exception]]:
    """As the executor's `map`, in the order of the items."""
    early: dict[int, tuple[T, R | Exception]] = {}
    due = 0
    call = partial(_call_with_item, function)
    for (place, item), result in executor.map(call, enumerate(items)):
        early[place] = item, result
        while due in early:
            yield early.pop(due)
            due += 1


def _call_with_item(function: Callable[[T], R], numbered: tuple[int, T]) -> R:
    return function(numbered[1])
