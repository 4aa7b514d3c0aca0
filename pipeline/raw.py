"""The user's folder of pictures: what is found in it, under which label and which split."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pipeline.files import identity, output_name, short_digest

SPLITS = ("train", "val", "test")


class Found(NamedTuple):
    """A file below the raw folder; `refusal` is the reason why it must not be opened."""

    key: str
    path: str
    stamp: str
    refusal: str = ""

    @property
    def label(self) -> str:
        return label_of(self.key)


def label_of(key: str) -> str:
    """First folder of a key, or the second where the first is a split; "" where there is none."""
    folders = key.split("/")[:-1]
    if folders and folders[0] in SPLITS:
        folders = folders[1:]
    return folders[0] if folders else ""


def split_of(key: str) -> str:
    """The split a key was filed under by the user: "train", "val", "test", or ""."""
    first, _, rest = key.partition("/")
    return first if first in SPLITS and "/" in rest else ""


def find(root: Path) -> Iterator[Found]:
    """Every file below `root`, sorted folder by folder. Links are followed inside `root`, and
    refused when they lead outside, in a circle or nowhere.
    """
    real_root = root.resolve()
    yield from _find(str(root), "", real_root, (str(real_root),))


def _find(folder: str, prefix: str, root: Path, above: tuple[str, ...]) -> Iterator[Found]:
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        key = prefix + _printable(entry.name)
        if entry.is_symlink() and not _leads_inside(entry.path, root, above):
            yield Found(key, entry.path, "link", "bad_link")
        elif entry.is_dir():
            inside = (*above, os.path.realpath(entry.path))
            try:
                yield from _find(entry.path, key + "/", root, inside)
            except PermissionError:
                yield Found(key, entry.path, "closed", "unreadable")
        else:
            with suppress(FileNotFoundError):  # gone since the folder was listed
                yield _found(entry, key)


def _found(entry: os.DirEntry[str], key: str) -> Found:
    about = entry.stat()
    regular = stat.S_ISREG(about.st_mode)
    refusal = "not_a_file" if not regular else "" if label_of(key) else "no_label"
    return Found(key, entry.path, f"{about.st_size}:{about.st_mtime_ns}", refusal)


def _leads_inside(path: str, root: Path, above: tuple[str, ...]) -> bool:
    target = Path(os.path.realpath(path))
    return target.exists() and str(target) not in above and target.is_relative_to(root)


def _printable(name: str) -> str:
    """A file name that is no UTF-8 with its odd bytes spelled out, so that it can be recorded;
    backslashes are doubled where they could be taken for such a spelling.
    """
    data = os.fsencode(name)
    plain = data.decode("utf-8", "ignore").encode() == data
    if plain and b"\\x" not in data:
        return name
    return data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


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
