"""The user's folder of pictures: all files in it, those that clash, and those that are copies."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline import leftovers, sources, tars
from pipeline.files import identity, output_name, short_digest
from pipeline.labels import label_of
from pipeline.listing import Found, Listing, printable, regular_file
from pipeline.sample import Facts
from pipeline.store import Address, Place, place
from pipeline.store.listing import find_in_store
from pipeline.tars import Contents


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
        return find_in_store(root)
    if isinstance(closed, Address):
        closed = None
    listing = Listing(root)
    real_root = root.resolve()
    walk = _Walk(listing, real_root, follow_links, closed.resolve() if closed else None, indexes)
    walk.folder(str(root), "", (str(real_root),))
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
                self._entry(entry, prefix + printable(entry.name), above, facts)

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
    found = regular_file(key, entry.path, f"{about.st_size}:{about.st_mtime_ns}", facts)
    return found if stat.S_ISREG(about.st_mode) else found._replace(refusal="not_a_file")


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
            member = tars.key_of(key, entry._replace(name=printable(entry.name)))
            facts = tars.facts_of(tar.name, entry)
            file = regular_file(member, tar.path, f"{entry.size}:{stamp}:{entry.offset}", facts)
            file = file._replace(inside=(entry.offset, entry.size))
            yield file._replace(refusal=entry.refusal) if entry.refusal else file
    if contents.damage:
        yield Found(key, tar.path, stamp, contents.damage)


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
