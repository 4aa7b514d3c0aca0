"""Progress bars."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any, TypeVar, overload

from tqdm import tqdm

T = TypeVar("T")

LOG_SECONDS = 30.0  # between two lines of progress in a log


@overload
def progress(items: None = None, **options: Any) -> tqdm[Any]: ...
@overload
def progress(items: Iterable[T], **options: Any) -> tqdm[T]: ...
def progress(items: Iterable[Any] | None = None, **options: Any) -> tqdm[Any]:
    """A tqdm bar over the items (None: moved by its `update`); `options` are tqdm's.

    Where standard error is no terminal, it prints a line now and then, not thousands.
    """
    if not sys.stderr.isatty():
        options |= {"file": _Log(), "mininterval": LOG_SECONDS, "miniters": 1}
        return _LogBar(items, **options)
    return tqdm(items, dynamic_ncols=True, **options)


class _LogBar(tqdm):  # type: ignore[type-arg]  # it has none at run time
    """A bar in a log: however often its figures change, `mininterval` lies between two lines."""

    shown_at = float("-inf")

    def refresh(self, *arguments: Any, **options: Any) -> None:
        now = time.monotonic()
        if not self.disable and now - self.shown_at >= self.mininterval:
            self.shown_at = now
            super().refresh(*arguments, **options)


class _Log:
    """Standard error for a bar that is not redrawn: each state is a line of its own."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr)

    def flush(self) -> None:
        sys.stderr.flush()
