"""Local copies of what lies in a store, brought up to date either way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pipeline import files
from pipeline.store import Address

NAME = ".stored.json"


class LocalCopies:
    """Files of a local folder and of a store that have the same names.

    `.stored.json` in the folder notes of each file the store's etag and a mark of the local file
    when both were last the same. So it is known which of the two has changed since.
    """

    def __init__(self, store: Address, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._note = folder / NAME
        text = self._note.read_text(encoding="utf-8") if self._note.exists() else "{}"
        self._same: dict[str, list[str]] = json.loads(text)

    def noted(self, name: str) -> list[str]:
        """Etag and mark of a file when its copy was last the same; empty if it never was."""
        return self._same.get(name, [])

    def note(self, name: str, etag: str, mark: str) -> None:
        self._same[name] = [etag, mark]
        files.write(self._note, json.dumps(self._same))

    def fetch(self, name: str) -> None:
        """Get the files of a folder that have changed in the store.

        Others stay, even if they have changed here: a command was ended before it could put them.
        """
        for entry in (self._store / name).entries():
            file = f"{name}/{entry.name}"
            path = self._folder / file
            if self.noted(file)[:1] != [entry.etag] or not path.exists():
                self.download(file, path)
                self.note(file, entry.etag, _mark(path))

    def download(self, name: str, path: Path) -> None:
        """Copy a file of the store to a local path, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{files.HALF}{path.name}")
        (self._store / name).download(beside)
        beside.replace(path)

    def put(self, name: str, last: str = "") -> None:
        """Make the store's folder equal to the local one.

        The file `last` says that the folder is whole: it goes first and comes last.
        """
        there = {entry.name: entry.etag for entry in (self._store / name).entries()}
        here = {path.relative_to(self._folder / name).as_posix(): path for path in self._in(name)}
        changed = [
            file
            for file, path in here.items()
            if self.noted(f"{name}/{file}") != [there.get(file), _mark(path)]
        ]
        gone = there.keys() - here.keys()
        if (changed or gone) and last in here:
            (self._store / name / last).unlink(missing_ok=True)
            changed = [*(file for file in changed if file != last), last]
        for file in gone - {last}:
            (self._store / name / file).unlink(missing_ok=True)
        for file in changed:
            self._upload(f"{name}/{file}")

    def put_file(self, name: str) -> None:
        """Put a file that has changed here, if there is one."""
        path = self._folder / name
        if path.exists() and self.noted(name)[1:] != [_mark(path)]:
            self._upload(name)

    def _upload(self, name: str) -> None:
        path = self._folder / name
        mark = _mark(path)
        self.note(name, (self._store / name).write_bytes(path), mark)

    def _in(self, name: str) -> Iterator[Path]:
        for path in sorted((self._folder / name).rglob("*")):
            if path.is_file() and not path.name.startswith(files.HALF):
                yield path


def _mark(path: Path) -> str:
    """Differs when the file has changed."""
    about = path.stat()
    return f"{about.st_size}:{about.st_mtime_ns}"
