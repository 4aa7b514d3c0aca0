"""Files of the user's that are in each other's way: copies, and names that would be one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipeline.files import Found, identity, label_of, output_name, short_digest


def without_clashes(found: Iterable[Found]) -> dict[str, Found]:
    """Files by key; of two that would get the same output name, the second is refused."""
    taken: dict[str, list[str]] = {}
    by_key: dict[str, Found] = {}
    for file in found:
        others = taken.setdefault(short_digest(file.key), [])
        clash = any(_same_output(file.key, other) for other in others)
        by_key[file.key] = file._replace(refusal="name_clash") if clash else file
        others.append(file.key)
    return by_key


def _same_output(one: str, other: str) -> bool:
    return (label_of(one), output_name(one)) == (label_of(other), output_name(other))


class Copies:
    """Tells which of some files are copies, as far as `identity` tells, of one asked for before;
    only files of the same size are opened.
    """

    def __init__(self, found: Iterable[Found]) -> None:
        self._files = {file.key: file for file in found if not file.refusal}
        self._sizes = Counter(_size(file) for file in self._files.values())
        self._seen: set[str] = set()

    def again(self, key: str) -> bool:
        """Whether this file is a copy. False where it cannot be read."""
        file = self._files.get(key)
        if file is None or self._sizes[_size(file)] == 1:
            return False
        try:
            content = identity(Path(file.path))
        except OSError:
            return False
        before = content in self._seen
        self._seen.add(content)
        return before


def _size(file: Found) -> str:
    return file.stamp.partition(":")[0]
