"""Files: output names, digests, writing whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from pipeline.store import Address, Place, in_parallel

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
HALF = ".new-"  # names of half-written files begin with it
WRITTEN = (".jpg", ".tar", "shards.json")  # how names of the stages' files end, but for tables


def shown(text: str, but: str = "\n") -> str:
    r"""Text that is safe for a terminal or a log: unprintable characters are spelled out.

    Those in `but` stay as they are.

    >>> shown("a\x1b[2J.jpg")
    'a\\x1b[2J.jpg'
    """
    return "".join(
        letter
        if letter.isprintable() or letter in but
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


@lru_cache(maxsize=1024)  # a picture asks for it in each stage
def output_name(key: str) -> str:
    """File name of an output: a slug of the key's stem, then eight digits of the key's digest.

    >>> output_name("smile/Müller, Jörg.v2.PNG")
    'muller-jorg-v2-b8cf431f.jpg'
    """
    name = key.rpartition("/")[2]
    dot = name.rfind(".")
    stem = name[:dot] if 0 < dot < len(name) - 1 else name
    return f"{slug(stem)}-{short_digest(key)}.jpg"


def slug(text: str) -> str:
    """At most 60 small letters, digits and hyphens by which a person knows the text again."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "picture"


def short_digest(key: str) -> str:
    """Eight hex digits. Two keys seldom have the same."""
    return digest(os.fsencode(key))[:8]


def digest(data: bytes) -> str:
    """32 hex digits that name these bytes (BLAKE2b, 128 bits)."""
    return digest_all([data])


def digest_all(parts: Iterable[bytes]) -> str:
    """The digest of these bytes one after the other."""
    whole = hashlib.blake2b(digest_size=16)
    for part in parts:
        whole.update(part)
    return whole.hexdigest()


def write(path: Place, data: bytes | str) -> None:
    """Write to a file beside, then rename it: no reader ever sees half a file.

    Makes the folder where there is none. A store takes a file whole or not at all by itself.
    """
    whole = data.encode() if isinstance(data, str) else data
    if isinstance(path, Address):
        path.write_bytes(whole)
        return
    with replacing(path) as beside:
        _with_folder(path, lambda: beside.write_bytes(whole))


@contextmanager
def replacing(path: Place) -> Iterator[Path]:
    """A path beside a file. What is written there takes the file's name at the end, or is deleted
    where an exception ends the work. For a store it is a temporary file, put there at the end.
    """
    if isinstance(path, Address):
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, path.name)
            path.write_bytes(Path(folder, path.name))
        return
    beside = _beside(path)
    try:
        yield beside
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def local_copy(path: Place) -> Iterator[Path]:
    """A file on this machine: the file itself, or a temporary copy of one in a store."""
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        path.download(Path(folder, path.name))
        yield Path(folder, path.name)


def link(source: Place, path: Place) -> None:
    """Give a file inside the processed folder a second name, or copy it where links are refused.

    Makes the folder where there is none. A store copies the file; it has no links.
    """
    if isinstance(source, Address) and isinstance(path, Address):
        path.copy_from(source)
    elif isinstance(source, Path) and isinstance(path, Path):
        _link(source, path)


def _link(source: Path, path: Path) -> None:
    try:
        try:
            _with_folder(path, lambda: os.link(source, path))
        except FileExistsError:
            beside = _beside(path)
            beside.unlink(missing_ok=True)
            os.link(source, beside)
            beside.replace(path)
            beside.unlink(missing_ok=True)  # it stays where both names are one file already
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS):
            raise
        write(path, source.read_bytes())


def link_all(root: Place, pairs: Iterable[tuple[Place, str]]) -> None:
    """Give many files a second name below `root`. A store copies several at once."""
    if isinstance(root, Address):
        in_parallel(lambda pair: link(pair[0], root / pair[1]), pairs)
        return
    for source, path in pairs:
        link(source, root / path)


def remove(root: Place, folder: str, paths: Iterable[str]) -> None:
    """Delete files of a folder below `root`, and the folders they leave empty.

    ImageFolder would take an empty folder for a class.
    """
    if isinstance(root, Address):
        in_parallel(lambda path: (root / path).unlink(missing_ok=True), paths)
        return
    folders: set[Path] = set()
    for path in paths:
        file = root / path
        file.unlink(missing_ok=True)
        folders.add(file.parent)
    for parent in folders:
        _remove_empty(parent, root / folder)


def _remove_empty(folder: Path, top: Path) -> None:
    """Remove a folder and those around it, below `top`, as far as they are empty."""
    while folder != top:
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise
            return
        folder = folder.parent


def is_full(error: Exception) -> bool:
    """Whether the disk takes no more: it is full, over its quota or read-only."""
    return isinstance(error, OSError) and error.errno in NO_ROOM


def _with_folder(path: Path, make: Callable[[], object]) -> None:
    """Make a file. Its folder is made only where that fails, which saves a call a file."""
    try:
        make()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        make()


def _beside(path: Path) -> Path:
    return path.with_name(f"{HALF}{os.getpid()}-{path.name}")


def pictures_in(root: Place, folder: str) -> set[str]:
    """Paths of pictures, shards and half-written files in a folder below `root`, relative to it."""
    if isinstance(root, Address):
        entries = (root / folder).entries()
        return {f"{folder}/{entry.name}" for entry in entries if entry.name.endswith(WRITTEN)}
    found: set[str] = set()
    skip = len(str(root)) + 1
    for path, _, names in os.walk(root / folder):
        start = path[skip:] + "/"
        found.update(
            start + name for name in names if name.endswith(WRITTEN) or name.startswith(HALF)
        )
    return found


def identity(path: Path) -> str:
    """A digest of a file's size, first and last 64 KiB: tells files apart and is quick."""
    with open(path, "rb") as file:
        head = file.read(65536)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65536))
        return digest(f"{size}".encode() + head + file.read())
