"""Tars of pictures, read where they lie: nothing is unpacked, no name in them is ever opened."""

from __future__ import annotations

import json
import re
import tarfile
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pipeline import files
from pipeline.labels import label_of, split_named
from pipeline.sample import Facts
from pipeline.store import Size

BESIDE = ("json", "cls", "txt")  # members that tell of the picture of the same name
LARGEST_NOTE = 1 << 16  # bytes of such a member
LARGEST_HEADER = 1 << 20  # bytes
LONGEST_NAME = 1024
DAMAGE = (tarfile.TarError, ValueError, LookupError, ArithmeticError, RecursionError)
"""What tarfile raises for headers that make no sense."""


@dataclass(frozen=True)
class Member:
    """A file in a tar, with the methods of pathlib's paths by which pictures are read."""

    tar: Path
    offset: int  # bytes
    size: int  # bytes

    def read_bytes(self) -> bytes:
        """Raises OSError where the tar cannot be read."""
        with open(self.tar, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def stat(self) -> Size:
        return Size(self.size)


class TarredFile(NamedTuple):
    """A picture in a tar, or what may be one. `name` has neither a root nor dots to climb by.

    `refusal` is the reason why it must not be read. `label` and `group` are what the members
    beside it say; "" for nothing.
    """

    name: str
    offset: int
    size: int
    refusal: str = ""
    label: str = ""
    group: str = ""


@dataclass(frozen=True)
class Contents:
    """What is in a tar. `damage` is the reason why what follows the entries cannot be read."""

    entries: list[TarredFile]
    damage: str = ""


def contents(path: Path, indexes: Path) -> Contents | None:
    """What is in a tar; None where it is none.

    The folder `indexes` keeps it for the next time, until size or time of the tar change. Raises
    OSError where the tar cannot be read.
    """
    about = path.stat()
    stamp = [str(path), about.st_size, about.st_mtime_ns]
    kept = indexes / f"{files.digest(str(path).encode())}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        index = json.loads(kept.read_text(encoding="utf-8"))
        if index["stamp"] == stamp:
            return Contents([TarredFile(*entry) for entry in index["entries"]], index["damage"])
    with open(path, "rb") as file:
        found = walked(file, about.st_size)
    if found is not None:
        index = {"stamp": stamp, "entries": found.entries, "damage": found.damage}
        with suppress(OSError):  # a folder that is closed or full: the tar is opened again
            files.write(kept, json.dumps(index))
    return found


def key_of(tar: str, entry: TarredFile) -> str:
    """The key of a file in a tar, as if the tar were a folder. A tar that lies in no label's folder
    counts as one in the folder of each label that its members tell.

    >>> file = TarredFile("a.jpg", 0, 0)
    >>> key_of("smile/x-01.tar", file), key_of("x-01.tar", file)
    ('smile/x-01.tar/a.jpg', 'x-01.tar/a.jpg')
    >>> key_of("x-01.tar", TarredFile("a.jpg", 0, 0, label="smile"))
    'smile/x-01.tar/a.jpg'
    """
    folder, slash, name = tar.rpartition("/")
    label = f"{entry.label}/" if entry.label and not label_of(tar) else ""
    return f"{folder}{slash}{label}{name}/{entry.name}"


def facts_of(tar: str, entry: TarredFile) -> Facts:
    """The facts `given_split`, which a shard's name tells, and `given_group`.

    >>> file = TarredFile("a.jpg", 0, 0)
    >>> facts_of("train-000012.tar", file), facts_of("0012.tar", file)
    ({'given_split': 'train'}, {})
    """
    facts = Facts()
    if split := split_named(re.sub(r"[-_.]?\d+$", "", tar.removesuffix(".tar"))):
        facts["given_split"] = split
    if entry.group:
        facts["given_group"] = entry.group
    return facts


class _Headers:
    """A file of which only headers are read; a member's content is passed over."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self._file = file.seek, file.tell, file

    def read(self, size: int) -> bytes:
        if not 0 <= size <= LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


def walked(file: BinaryIO, size: int) -> Contents | None:
    """What is in an open file of so many bytes; None where it does not begin as a tar."""
    entries: list[TarredFile] = []
    damage = ""
    try:
        opened = tarfile.open(fileobj=_Headers(file), mode="r:")  # type: ignore[call-overload] # noqa: SIM115
    except DAMAGE:
        return None
    with opened as tar:
        try:
            for member in tar:
                tar.members.clear()
                if member.size < 0:
                    raise tarfile.ReadError("a size below 0")
                if not member.isdir():
                    entries.append(_entry(member, _refusal(member, size)))
                if tar.offset > size:  # cut within this member
                    break
            else:
                damage = _damage_at(file, tar.offset)
        except DAMAGE:
            damage = "corrupt"
    return Contents(_with_notes(file, entries), damage)


def _damage_at(file: BinaryIO, offset: int) -> str:
    """The reason why a tar ends at an offset; "" where it is meant to."""
    file.seek(offset)
    header = file.read(tarfile.BLOCKSIZE)
    if not any(header):
        return ""
    return "corrupt" if len(header) == tarfile.BLOCKSIZE else "truncated"


def _refusal(member: tarfile.TarInfo, size: int) -> str:
    if member.issym() or member.islnk():
        return "bad_link"
    if not member.isreg():
        return "not_a_file"
    if member.issparse():
        return "unsupported_format"
    return "truncated" if member.offset_data + member.size > size else ""


def _entry(member: tarfile.TarInfo, refusal: str) -> TarredFile:
    parts = (part for part in member.name.split("/") if part not in ("", ".", ".."))
    name = "/".join(parts)[-LONGEST_NAME:].lstrip("/")
    return TarredFile(name or f"{member.offset}", member.offset_data, member.size, refusal)


def _with_notes(file: BinaryIO, entries: list[TarredFile]) -> list[TarredFile]:
    """The entries that are no notes, each with what the notes beside it say."""
    notes: dict[str, dict[str, TarredFile]] = defaultdict(dict)
    pictures: dict[str, list[TarredFile]] = defaultdict(list)
    for entry in entries:
        stem, kind = _parts(entry.name)
        if kind in BESIDE and not entry.refusal:
            notes[stem][kind] = entry
        else:
            pictures[stem].append(entry)
    alone = (note for stem, of in notes.items() if stem not in pictures for note in of.values())
    told = (
        entry._replace(label=label, group=group)
        for stem, of in pictures.items()
        for label, group in [_told(file, notes.get(stem, {}))]
        for entry in of
    )
    return sorted([*told, *alone], key=lambda entry: entry.offset)


def _parts(name: str) -> tuple[str, str]:
    """A name up to the first dot of its last part, and what follows: WebDataset's key and kind."""
    folder, slash, last = name.rpartition("/")
    stem, _, kind = last.partition(".")
    return folder + slash + stem, kind.lower()


def _told(file: BinaryIO, notes: Mapping[str, TarredFile]) -> tuple[str, str]:
    """Label and group by the notes beside a picture: .json (`label`, `group`), .cls, then .txt."""
    texts = {kind: _text(file, note) for kind, note in notes.items()}
    about: object = None
    with suppress(ValueError, RecursionError):
        about = json.loads(texts.get("json", ""))
    label, group = (about.get("label"), about.get("group")) if isinstance(about, dict) else ("", "")
    labels = map(_as_name, (label, texts.get("cls"), texts.get("txt")))
    return next(filter(None, labels), ""), _as_name(group)


def _text(file: BinaryIO, note: TarredFile) -> str:
    if note.size > LARGEST_NOTE:
        return ""
    file.seek(note.offset)
    return file.read(note.size).decode("utf-8", "replace").strip()


def _as_name(value: object) -> str:
    """A label or group as text; "" for what can be none."""
    text = str(value) if isinstance(value, (str, int)) else ""
    fits = len(text) <= 100 and text.isprintable() and "/" not in text and text[:1] != "."
    return text if fits else ""
