"""Files and folders that programs leave behind among pictures. They are left out."""

from __future__ import annotations

import os
import re
from collections import Counter
from fnmatch import translate

FOLDERS = (
    ".*",  # hidden: .ipynb_checkpoints, .git, .Trash-1000, .thumbnails, .AppleDouble …
    "__MACOSX", "Network Trash Folder", "Temporary Items",  # macOS
    "@eaDir", "#recycle", "#snapshot", "@tmp", "@Recycle", "@Recently-Snapshot", "@__thumb",  # NAS
    "$RECYCLE.BIN", "RECYCLER", "System Volume Information", "found.[0-9][0-9][0-9]",  # Windows
    "lost+found", "thumbs", "_thumbs", "thumbnails", "_thumbnails", "__pycache__",
)  # fmt: skip
FILES = (
    "._*", ".DS_Store", ".localized", "Icon\r", ".apdisk",  # macOS
    "Thumbs.db", "Thumbs.db:*", "ehthumbs*.db", "desktop.ini", "~$*",  # Windows
    ".directory", ".nfs*", ".fuse_hidden*", ".~lock.*", ".goutputstream-*",  # Linux
    ".nomedia", ".trashed-*", ".pending-*",  # Android
    ".picasa.ini", "Picasa.ini", ".syncthing.*", ".gitkeep", ".gitignore", ".gitattributes",
    ".new-*",  # half-written by this program
)  # fmt: skip


def _matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)), re.IGNORECASE)


_FOLDER, _FILE = _matcher(FOLDERS), _matcher(FILES)


def is_leftover(name: str, is_folder: bool) -> bool:
    """Whether a program left this behind. Only the name counts; capitals make no difference.

    >>> is_leftover("thumbs.DB", is_folder=False), is_leftover("smile", is_folder=True)
    (True, False)
    """
    return bool((_FOLDER if is_folder else _FILE).match(name))


def leftover_in(path: str) -> str:
    """Under what name a file in a store is counted as left behind; "" where it is none.

    >>> leftover_in("smile/@eaDir/a.jpg"), leftover_in("smile/thumbs.db"), leftover_in("a.jpg")
    ('@eaDir', 'Thumbs.db', '')
    """
    *folders, name = path.split("/")
    folder = next((folder for folder in folders if is_leftover(folder, is_folder=True)), "")
    return folder or (_pattern(name) if is_leftover(name, is_folder=False) else "")


def count(counts: Counter[str], entry: os.DirEntry[str]) -> None:
    """Count a leftover: a file under its pattern, the files of a folder under the folder's name."""
    if entry.is_dir(follow_symlinks=False):
        counts[entry.name] += sum(len(names) for _, _, names in os.walk(entry.path))
    else:
        counts[_pattern(entry.name)] += 1


def _pattern(name: str) -> str:
    """The pattern that a file's name matches."""
    return next((pattern for pattern in FILES if _matcher((pattern,)).match(name)), name)


def summary(counts: Counter[str]) -> str:
    """One line for a person: how many files were left out, and which.

    >>> summary(Counter({"@eaDir": 3, "Thumbs.db": 1}))
    '4 files that programs leave behind were left out (@eaDir 3, Thumbs.db 1)'
    """
    total = counts.total()
    names = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items())[:10])
    more = ", …" if len(counts) > 10 else ""
    return (
        f"{total:,} {'file' if total == 1 else 'files'} that programs leave behind "
        f"{'was' if total == 1 else 'were'} left out ({names}{more})"
    )
