"""Decoders' warnings, collected and not shown, where several threads decode at once.

`warnings.catch_warnings` changes the filters of the whole process: a thread that leaves it puts
back what it found, whatever other threads do meanwhile. So here the first thread that comes changes
them, and the last that goes puts them back.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

_lock = threading.Lock()
_changed = ExitStack()  # puts the filters back
_inside = 0
_found: ContextVar[list[str] | None] = ContextVar("found", default=None)


@contextmanager
def warnings_of_this_thread() -> Iterator[list[str]]:
    """A list to which each warning from within the block is added, as it comes.

    Warnings of threads that are in no such block are shown.
    """
    global _inside
    with _lock:
        if not _inside:
            _change()
        _inside += 1
    found: list[str] = []
    before = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(before)
        with _lock:
            _inside -= 1
            if not _inside:
                _changed.close()


def _change() -> None:
    """Until `_changed` is closed, each warning goes to the list of its own thread."""
    _changed.enter_context(warnings.catch_warnings())
    warnings.simplefilter("always")
    warnings.simplefilter("ignore", ResourceWarning)  # Python's own, at any moment of any thread
    show = warnings.showwarning

    def collect_or_show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: str | None = None,
    ) -> None:
        found = _found.get()
        if found is None:
            show(message, category, filename, lineno, None, line)
        else:
            found.append(str(message))

    warnings.showwarning = collect_or_show
