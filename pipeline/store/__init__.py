"""Places in an object store, such as s3://bucket/faces: read, written, listed and copied whole.

An `Address` has the methods of pathlib's paths that the pipeline uses, so most code takes a `Place`
and need not know which of the two it has. `lock.py` keeps a place to one command. `workbench.py`
has what a command works on locally (the ledger, runs), as copies that `copies.py` fetches and puts.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pipeline.trouble import Trouble, Usage

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")
Version = dict[str, str]
"""How a store names what a file holds: `e_tag`, and `version` where it has such numbers."""

SCHEMES = ("s3", "gs", "az", "memory")
REQUESTS = 16  # under way at once, for many files
RETRIES: Mapping[str, Any] = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=25),  # less than a picture's own time-out
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
REFUSED = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")
"""S3's codes for credentials that are wrong as such, whatever is asked for."""
WITHOUT = "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
METADATA_SERVICE = "169.254.169.254"  # where a cloud's machines get credentials; the last resort


class StoreTrouble(Trouble):
    """The store refuses or does not answer, even after retries. It ends the command."""


class WrongAddress(StoreTrouble, Usage):
    """There is no such bucket, or a name in it that can be no path."""


class Size(NamedTuple):
    """What a file's `stat` tells."""

    st_size: int  # bytes


class Entry(NamedTuple):
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
        with _requests(self, reading=True):
            return bytes(self._store.get(self._key).bytes())

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.read_bytes().decode(encoding, errors)

    def write_bytes(self, data: bytes | Path) -> str:
        """Write bytes, or a local file of any size; returns the etag."""
        with _requests(self):
            return str(self._store.put(self._key, data)["e_tag"])

    def replace_bytes(self, data: bytes, before: Version | None) -> Version | None:
        """Write only if this is still the version `before` (None: only if there is no file).

        Returns the new version; None where that is not so. The store decides, so of two who try
        only one succeeds.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if before is None else before
        with _requests(self):
            try:
                return _version(self._store.put(self._key, data, mode=mode))
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return None

    def version(self) -> Version:
        """Names what the file holds now, for `replace_bytes`. Raises FileNotFoundError."""
        with _requests(self):
            return _version(self._store.head(self._key))

    def download(self, path: Path) -> None:
        """Copy to a local file, a part at a time. Raises FileNotFoundError."""
        import obstore

        with _requests(self), open(path, "wb") as local:
            reader = obstore.open_reader(self._store, self._key, buffer_size=1 << 25)
            while part := bytes(reader.read(1 << 25)):
                local.write(part)

    def copy_from(self, source: Address) -> None:
        """Become a copy of another file of the same bucket; no bytes come this way."""
        with _requests(source):
            self._store.copy(source._key, self._key)

    def head(self) -> Entry | None:
        """What a listing would tell of this file; None where there is none."""
        with _requests(self):
            try:
                return _entry(self._store.head(self._key), "")
            except FileNotFoundError:
                return None

    def stat(self) -> Size:
        """Raises FileNotFoundError."""
        with _requests(self, reading=True):
            return Size(self._store.head(self._key)["size"])

    def exists(self) -> bool:
        return self.head() is not None

    is_file = exists

    def unlink(self, missing_ok: bool = False) -> None:
        with _requests(self), suppress(*[FileNotFoundError] * missing_ok):
            self._store.delete(self._key)

    def entries(self) -> Iterator[Entry]:
        """All files below this place, in no certain order."""
        with _requests(self):
            for some in self._store.list(self._key or None):
                yield from (_entry(about, self._key) for about in some)

    @property
    def _store(self) -> ObjectStore:
        return _connection(self.bucket)

    @property
    def bucket(self) -> str:
        """The beginning of the address that names the bucket, such as s3://bucket."""
        return "/".join(self.url.split("/", 3)[:3])

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


def local(path: Place, command: str) -> Path:
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


def _entry(about: Mapping[str, Any], prefix: str) -> Entry:
    name = about["path"][len(prefix) + 1 :] if prefix else about["path"]
    return Entry(name, about["size"], str(about["e_tag"]), about["last_modified"])


@lru_cache
def _connection(bucket: str) -> ObjectStore:
    """A process's one connection to a bucket. Settings and credentials come from the environment,
    as every program of that store takes them (AWS_…, GOOGLE_…, AZURE_…).
    """
    try:
        from obstore.store import MemoryStore, from_url
    except ImportError:
        raise Usage(
            f"{bucket} needs the package obstore: .venv/bin/pip install -c constraints.txt obstore"
        ) from None
    if bucket.startswith("memory:"):
        return MemoryStore()
    options: dict[str, Any] = {"retry_config": RETRIES}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if bucket.startswith("s3:") and endpoint.startswith("http://"):
        options["client_options"] = {"allow_http": True}
    if bucket.startswith("s3:") and _has_profile():
        options["credential_provider"] = _from_profile(bucket)
    try:
        return from_url(bucket, **options)
    except Exception as error:  # a value of the environment, or the bucket's name
        raise Usage(f"{bucket} cannot be opened: {_reason(error)}") from None


def _has_profile() -> bool:
    """Whether S3's credentials are to be found in a profile of ~/.aws."""
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return False
    path = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    return "AWS_PROFILE" in os.environ or Path(path).expanduser().is_file()


def _from_profile(bucket: str) -> Any:
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        raise Usage(
            f"{bucket}: reading a profile of ~/.aws needs the package boto3; install it, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    try:
        return Boto3CredentialProvider()
    except Exception as error:  # no such profile, or nothing in it
        raise StoreTrouble(f"{bucket}: {WITHOUT} ({_reason(error)})") from None


@contextmanager
def _requests(address: Address, reading: bool = False) -> Iterator[None]:
    """Say in one sentence what a store refuses. A missing file is a FileNotFoundError, and for
    `reading` a file that alone is closed is a PermissionError.
    """
    try:
        yield
    except Exception as error:
        missing = isinstance(error, FileNotFoundError)
        if not missing and not type(error).__module__.startswith("obstore"):
            raise
        code = "".join(re.findall(r"<Code>(\w+)</Code>", str(error))[:1])
        if missing and code != "NoSuchBucket":
            raise FileNotFoundError(errno.ENOENT, "no such file", str(address)) from None
        if reading and code == "AccessDenied":
            raise PermissionError(errno.EACCES, "access is denied", str(address)) from None
        raise _trouble(address, error, code) from None


def _trouble(address: Address, error: Exception, code: str) -> Trouble:
    """A store's error as a sentence. `code` is S3's word for it, if any."""
    from obstore import exceptions

    if isinstance(error, exceptions.InvalidPathError):
        return WrongAddress(
            f"{address} holds a name that can be no path ({_reason(error)}): rename it"
        )
    if code == "NoSuchBucket":
        return WrongAddress(f"there is no {address.bucket}: make it, or correct the address")
    if METADATA_SERVICE in str(error):
        return StoreTrouble(f"{address.bucket}: {WITHOUT}")
    if code in REFUSED:
        return StoreTrouble(f"{address.bucket} refuses the credentials ({code}): correct them")
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return StoreTrouble(f"{address}: access is denied to these credentials")
    return StoreTrouble(
        f"{address.bucket} does not answer ({_reason(error)}): see to that, then run the same "
        "command again; it goes on from here"
    )


def _reason(error: Exception) -> str:
    """What is wrong, in short and without addresses: one may carry a key."""
    line = str(error).strip().partition("\n")[0].rpartition(" - ")[2]
    return re.sub(r"\S+://\S+ *|:\s*(<.*)?$", "", line)[:200]
