"""Places in an object store, such as s3://bucket/faces: read, written, listed and copied whole.

An `Address` has the methods of pathlib's paths that the pipeline uses, so most code takes a `Place`
and need not know which of the two it has. `connection.py` has credentials, retries and what is said
of failures. `lock.py` keeps a place to one command. `workbench.py` has what a command works on
locally (the ledger, runs), as copies that `copies.py` fetches and puts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pipeline.store.connection import StoreTrouble as StoreTrouble
from pipeline.store.connection import WrongAddress as WrongAddress
from pipeline.store.connection import bucket_of, connect, requests
from pipeline.trouble import Usage

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")
Version = dict[str, str]
"""How a store names what a file holds: `e_tag`, and `version` where it has such numbers."""

SCHEMES = ("s3", "gs", "az", "memory")
REQUESTS = 16  # under way at once, for many files


class Size(NamedTuple):
    """What a file's `stat` tells."""

    st_size: int  # bytes


class StoredFile(NamedTuple):
    """A file in a listing. `name` is its path below the address that was listed."""

    name: str
    size: int  # bytes
    etag: str  # differs when the content does
    modified: datetime


@dataclass(frozen=True, order=True)
class Address:
    """A place in an object store. There are no folders in one, only names with slashes.

    Every method raises StoreTrouble where the store refuses or does not answer. A file is written
    whole or not at all, and lies on disk when `write_bytes` returns.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Address:
        return Address(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def parents(self) -> list[Address]:
        """The places around this one, the nearest first, down to the bucket."""
        parts = self.url.split("/")
        return [Address("/".join(parts[:length])) for length in range(len(parts) - 1, 2, -1)]

    def read_bytes(self) -> bytes:
        """Raises FileNotFoundError, and PermissionError where only this file is closed."""
        with requests(self.url, reading=True):
            return bytes(self._store.get(self._key).bytes())

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.read_bytes().decode(encoding, errors)

    def write_bytes(self, data: bytes | Path) -> str:
        """Write bytes, or a local file of any size; returns the etag."""
        with requests(self.url):
            return str(self._store.put(self._key, data)["e_tag"])

    def replace_bytes(self, data: bytes, before: Version | None) -> Version | None:
        """Write only if this is still the version `before` (None: only if there is no file).

        Returns the new version; None where that is not so. The store decides, so of two who try
        only one succeeds.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if before is None else before
        with requests(self.url):
            try:
                return _version(self._store.put(self._key, data, mode=mode))
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return None

    def version(self) -> Version:
        """Names what the file holds now, for `replace_bytes`. Raises FileNotFoundError."""
        with requests(self.url):
            return _version(self._store.head(self._key))

    def download(self, path: Path) -> None:
        """Copy to a local file, a part at a time. Raises FileNotFoundError."""
        import obstore

        with requests(self.url), open(path, "wb") as local:
            reader = obstore.open_reader(self._store, self._key, buffer_size=1 << 25)
            while part := bytes(reader.read(1 << 25)):
                local.write(part)

    def copy_from(self, source: Address) -> None:
        """Become a copy of another file of the same bucket; no bytes come this way."""
        with requests(source.url):
            self._store.copy(source._key, self._key)

    def head(self) -> StoredFile | None:
        """What a listing would tell of this file; None where there is none."""
        with requests(self.url):
            try:
                return _entry(self._store.head(self._key), "")
            except FileNotFoundError:
                return None

    def stat(self) -> Size:
        """Raises FileNotFoundError."""
        with requests(self.url, reading=True):
            return Size(self._store.head(self._key)["size"])

    def exists(self) -> bool:
        return self.head() is not None

    is_file = exists

    def unlink(self, missing_ok: bool = False) -> None:
        with requests(self.url), suppress(*[FileNotFoundError] * missing_ok):
            self._store.delete(self._key)

    def entries(self) -> Iterator[StoredFile]:
        """All files below this place, in no certain order."""
        with requests(self.url):
            for some in self._store.list(self._key or None):
                yield from (_entry(about, self._key) for about in some)

    @property
    def _store(self) -> ObjectStore:
        return connect(self.bucket)

    @property
    def bucket(self) -> str:
        """The beginning of the address that names the bucket, such as s3://bucket."""
        return bucket_of(self.url)

    @property
    def _key(self) -> str:
        return self.url[len(self.bucket) + 1 :]


Place = Path | Address
"""A local path, or a place in a store."""


def place(text: str) -> Place:
    """The place that a text names. Raises Usage for an address of an unknown kind.

    >>> place("s3://bucket/faces/"), place("raw").name
    (Address(url='s3://bucket/faces'), 'raw')
    """
    match = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://([^/]*)", text)
    if not match:
        return Path(text)
    if match[1] not in SCHEMES or not match[2]:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise Usage(f"{text} is no address of a store: it begins with one of {known} and a bucket")
    return Address(text.rstrip("/"))


def require_local(path: Place, command: str) -> Path:
    """The path, if it is a local one. Raises Usage for a command that works on no store."""
    if isinstance(path, Address):
        raise Usage(f"{command} works on local folders only, not on {path}")
    return path


def below(path: Place, root: Place) -> str:
    """A path relative to a folder that it lies in."""
    return str(path).removeprefix(f"{root}/")


def in_parallel(function: Callable[[T], object], items: Iterable[T]) -> None:
    """Call a function for each item, several at once: a store answers late, but many."""
    waiting = iter(items)
    with ThreadPoolExecutor(REQUESTS) as pool:
        while some := list(islice(waiting, 10_000)):
            for _ in pool.map(function, some):
                pass


def _version(about: Mapping[str, Any]) -> Version:
    return {name: about[name] for name in ("e_tag", "version") if about[name] is not None}


def _entry(about: Mapping[str, Any], prefix: str) -> StoredFile:
    name = about["path"][len(prefix) + 1 :] if prefix else about["path"]
    return StoredFile(name, about["size"], str(about["e_tag"]), about["last_modified"])
