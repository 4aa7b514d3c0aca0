"""The user's folder of pictures: what is found in it, under which label and which split."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, cast

from pipeline import labels, leftovers, sources, tars
from pipeline.files import identity, output_name, short_digest
from pipeline.labels import label_of
from pipeline.ledger import as_json
from pipeline.sample import Facts
from pipeline.store import Address, Place, place
from pipeline.tars import Contents, Member


class Found(NamedTuple):
    """A file below the raw folder.

    `refusal` is the reason why it must not be opened; `facts` are what sources.csv says of it.
    `inside` are offset and size in bytes, if it is part of the tar at `path`.
    """

    key: str
    path: str
    stamp: str
    refusal: str = ""
    facts: Facts = Facts()
    inside: tuple[int, int] | None = None

    @property
    def place(self) -> Place:
        """Where its bytes lie."""
        if self.inside:  # a member has the methods by which pictures are read
            return cast(Place, Member(Path(self.path), *self.inside))
        return place(self.path)

    @property
    def label(self) -> str:
        return label_of(self.key)


@dataclass
class Listing:
    """What lies below a folder of pictures.

    `files` are in order of their paths, folder by folder. `label_folders` are the labels that have
    a folder, even an empty one. `leftovers` counts what programs left behind; `files` lacks it.
    `leading_out` are keys of links that lead out of the folder and were not followed.
    """

    root: Place
    files: list[Found] = field(default_factory=list)
    label_folders: set[str] = field(default_factory=set)
    leftovers: Counter[str] = field(default_factory=Counter)
    leading_out: list[str] = field(default_factory=list)

    def remarks(self) -> list[str]:
        """Lines for a person: folders taken as a split, leftovers, links that were not followed."""
        splits = labels.splits_among(self.keys())
        renamed = ((name, split) for name, split in splits.items() if name != split)
        taken = ", ".join(f"{name}/ is taken as {split}" for name, split in sorted(renamed))
        left_out = leftovers.summary(self.leftovers) if self.leftovers else ""
        return [f"{self.root}: {line}" for line in (taken, left_out, self._links()) if line]

    def keys(self) -> list[str]:
        return [file.key for file in self.files]

    def _links(self) -> str:
        count = len(self.leading_out)
        if not count:
            return ""
        return (
            f"{count:,} {'links lead' if count > 1 else 'link leads'} out of the folder and "
            f"{'are' if count > 1 else 'is'} not followed (first: {self.leading_out[0]}); "
            "--follow-links reads what lies there"
        )


def find(
    root: Place,
    follow_links: bool = False,
    closed: Place | None = None,
    indexes: Path | None = None,
) -> Listing:
    """All files below `root`. Links are followed inside `root`, and refused when they lead
    outside, in a circle or nowhere.

    `follow_links` follows those that lead outside too, but never into the folder `closed`.
    With `indexes`, a folder to keep lists of their contents, tars are folders.
    """
    if isinstance(root, Address):
        return _find_in_store(root)
    if isinstance(closed, Address):
        closed = None
    listing = Listing(root)
    real_root = root.resolve()
    walk = _Walk(listing, real_root, follow_links, closed.resolve() if closed else None, indexes)
    walk.folder(str(root), "", (str(real_root),))
    listing.label_folders.discard("")
    return listing


def _find_in_store(root: Address) -> Listing:
    """As `find`; a store has no links. Programs mark an empty folder by an empty file of its name.

    The stamp is size and etag, which differs when the content does.
    """
    listing = Listing(root)
    entries = sorted(root.entries(), key=lambda entry: entry.name.split("/"))
    tables = {
        folder: sources.facts(root / folder)
        for entry in entries
        if (folder := entry.name.removesuffix(f"/{sources.NAME}")) != entry.name
    }
    for entry in entries:
        key = "/".join(map(_printable, entry.name.split("/")))
        folder, _, name = entry.name.rpartition("/")
        left_out = leftovers.leftover_in(entry.name)
        if left_out:
            listing.leftovers[left_out] += 1
        elif not entry.size and "." not in name:
            listing.label_folders.add(label_of(f"{key}/"))
        elif name != sources.NAME:
            listing.label_folders.add(label_of(key))
            stamp = f"{entry.size}:{entry.etag}"
            facts = tables.get(folder, {}).get(name, Facts())
            listing.files.append(_file(key, str(root / entry.name), stamp, facts))
    listing.label_folders.discard("")
    return listing


@dataclass(frozen=True)
class _Walk:
    """Fills a listing; see `find`."""

    listing: Listing
    root: Path
    follow_links: bool
    closed: Path | None
    indexes: Path | None

    def folder(self, path: str, prefix: str, above: tuple[str, ...]) -> None:
        """List a folder; `above` are the real paths of it and those around it."""
        with os.scandir(path) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        known = sources.facts(Path(path))
        for entry in ordered:
            is_folder = _is_folder(entry)
            if leftovers.is_leftover(entry.name, is_folder):
                leftovers.count(self.listing.leftovers, entry)
            elif entry.name != sources.NAME:
                facts = known.get(entry.name, Facts())
                self._entry(entry, prefix + _printable(entry.name), above, facts)

    def _entry(
        self, entry: os.DirEntry[str], key: str, above: tuple[str, ...], facts: Facts
    ) -> None:
        files = self.listing.files
        if entry.is_symlink() and not self._may_follow(entry, key, above):
            files.append(Found(key, entry.path, "link", "bad_link"))
        elif entry.is_dir():
            self._folder_in(entry, key, above)
        else:
            with suppress(FileNotFoundError):  # gone since the folder was listed
                files.extend(self._in_tar(entry, key) or [_found(entry, key, facts)])

    def _in_tar(self, entry: os.DirEntry[str], key: str) -> list[Found]:
        """The files in a tar; none where it is no tar, or cannot be read."""
        if self.indexes is None or not entry.name.endswith(".tar") or not entry.is_file():
            return []
        try:
            contents = tars.contents(Path(entry.path), self.indexes)
        except PermissionError:
            return [Found(key, entry.path, "closed", "unreadable")]
        if contents is None:
            return []
        files = list(_tarred(entry, key, contents, self.listing.leftovers))
        self.listing.label_folders.update(file.label for file in files)
        return files

    def _folder_in(self, entry: os.DirEntry[str], key: str, above: tuple[str, ...]) -> None:
        real = os.path.realpath(entry.path)
        if real in above:  # reached again through a link further up
            self.listing.files.append(Found(key, entry.path, "link", "bad_link"))
            return
        self.listing.label_folders.add(label_of(key + "/"))
        try:
            self.folder(entry.path, key + "/", (*above, real))
        except PermissionError:
            self.listing.files.append(Found(key, entry.path, "closed", "unreadable"))

    def _may_follow(self, entry: os.DirEntry[str], key: str, above: tuple[str, ...]) -> bool:
        try:
            target = Path(entry.path).resolve(strict=True)
        except (OSError, RuntimeError):  # nowhere, into a closed folder, or to itself
            return False
        if str(target) in above:
            return False
        if target.is_relative_to(self.root):
            return True
        if self.closed and (
            target.is_relative_to(self.closed) or self.closed.is_relative_to(target)
        ):
            return False
        if not self.follow_links:
            self.listing.leading_out.append(key)
        return self.follow_links


def _is_folder(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink():
        return os.path.isdir(entry.path)  # noqa: PTH112  (Path's and the entry's own may raise)
    return entry.is_dir()


def _found(entry: os.DirEntry[str], key: str, facts: Facts) -> Found:
    about = entry.stat()
    found = _file(key, entry.path, f"{about.st_size}:{about.st_mtime_ns}", facts)
    return found if stat.S_ISREG(about.st_mode) else found._replace(refusal="not_a_file")


def _file(key: str, path: str, stamp: str, facts: Facts) -> Found:
    """A regular file. Its stamp, which begins with the size, changes with its facts too."""
    if facts:
        stamp += f":{short_digest(as_json(facts))}"
    return Found(key, path, stamp, "" if label_of(key) else "no_label", facts)


def _tarred(
    tar: os.DirEntry[str], key: str, contents: Contents, left: Counter[str]
) -> Iterator[Found]:
    """The files in a tar. What programs left behind is counted in `left`."""
    about = tar.stat()
    stamp = f"{about.st_size}:{about.st_mtime_ns}"
    for entry in contents.entries:
        if left_out := leftovers.leftover_in(entry.name):
            left[left_out] += 1
        else:
            member = tars.key_of(key, entry._replace(name=_printable(entry.name)))
            facts = tars.facts_of(tar.name, entry)
            file = _file(member, tar.path, f"{entry.size}:{stamp}:{entry.offset}", facts)
            file = file._replace(inside=(entry.offset, entry.size))
            yield file._replace(refusal=entry.refusal) if entry.refusal else file
    if contents.damage:
        yield Found(key, tar.path, stamp, contents.damage)


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
    """Files by key; of two that would get the same output name, the second is refused. So is the
    second of the same key, which a tar may hold, under a key of its own.
    """
    taken: dict[str, list[str]] = {}
    by_key: dict[str, Found] = {}
    for file in found:
        while file.key in by_key:
            file = file._replace(key=f"{file.key} (again)", refusal="name_clash")
        others = taken.setdefault(short_digest(file.key), [])
        clash = any(_same_output(file.key, other) for other in others)
        refusal = file.refusal or ("name_clash" if clash else "")
        by_key[file.key] = file._replace(refusal=refusal)
        others.append(file.key)
    return by_key


def _same_output(one: str, other: str) -> bool:
    return (label_of(one), output_name(one)) == (label_of(other), output_name(other))


def copies(found: Iterable[Found]) -> set[str]:
    """Keys of the files that are copies, as far as `identity` tells, of one that came before.

    Only files of the same size are opened. One that cannot be read is no copy. Those in a store
    are not opened: its etag tells. Those in tars are not compared.
    """
    by_size: dict[str, list[Found]] = {}
    for file in found:
        if not file.refusal and not file.inside:
            by_size.setdefault(_size(file), []).append(file)
    copied: set[str] = set()
    for alike in by_size.values():
        seen: set[str] = set()
        for file in alike if len(alike) > 1 else ():
            with suppress(OSError):
                path = place(file.path)
                content = identity(path) if isinstance(path, Path) else file.stamp
                if content in seen:
                    copied.add(file.key)
                seen.add(content)
    return copied


def _size(file: Found) -> str:
    return file.stamp.partition(":")[0]
