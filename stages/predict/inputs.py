"""What a prediction is asked for: a picture, a folder, a pattern, a list, standard input."""

from __future__ import annotations

import glob
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline import files, raw
from pipeline.sample import Sample
from pipeline.trouble import Usage

# How video containers begin, at which byte. Others are not opened as videos: a playlist or a
# script that names further files is nothing that a folder of pictures should set going.
VIDEOS = (
    (0, b"\x1aE\xdf\xa3"), (8, b"AVI "), (0, b"FLV\x01"), (0, b"\x00\x00\x01\xba"), (0, b"OggS"),
    (0, b"0&\xb2u\x8ef\xcf\x11"), (4, b"moov"), (4, b"mdat"), (4, b"wide"),
)  # fmt: skip

Asked = tuple[Sample, str]
"""A picture or video, and the reason why it must not be opened (mostly "")."""


def asked(given: str, listed: Path, follow_links: bool = False) -> Iterator[Asked]:
    """Everything asked for, in order. Raises Usage where there is no such thing.

    `given` is "-" for a picture from standard input, or a picture, video, folder or pattern;
    `listed` a file that names one of these pictures or videos a line. `follow_links` follows links
    that lead out of a folder.
    """
    if listed != Path():
        yield from _listed(listed)
    elif not given:
        raise Usage("give --input a picture, a folder or a video (make predict INPUT=…)")
    elif given == "-":
        yield Sample("standard input", "", Path("-"), encoded=sys.stdin.buffer.read()), ""
    elif stat.S_ISDIR(_mode(Path(given))):
        yield from _below(Path(given), follow_links)
    elif stat.S_ISREG(_mode(Path(given))):
        yield Sample(Path(given).name, "", Path(given)), ""
    else:
        yield from _matching(given)


def _below(folder: Path, follow_links: bool) -> Iterator[Asked]:
    listing = raw.find(folder, follow_links)
    for line in listing.remarks():
        print(files.shown(line))
    for found in listing.files:
        refusal = found.refusal.replace("no_label", "")
        yield Sample(found.key, "", Path(found.path)), refusal


def _matching(pattern: str) -> Iterator[Asked]:
    # Path's own glob takes no absolute pattern.
    found = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
    found = [path for path in found if not path.is_dir()]
    if not found:
        raise Usage(f"{pattern}: no such picture or folder")
    yield from map(_named, found)


def _named(path: Path) -> Asked:
    mode = _mode(path)
    refusal = "" if stat.S_ISREG(mode) else "not_a_file" if mode else "missing"
    return Sample(str(path), "", path), refusal


def _mode(path: Path) -> int:
    """What stands there, as `stat` says it; 0 for nothing, or a name that can be none."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return 0


def _listed(path: Path) -> Iterator[Asked]:
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise Usage(f"{path} cannot be read ({error.strerror})") from error
    for line in dict.fromkeys(line for line in text.split("\n") if line.strip()):
        yield _named(Path(line))


def is_video(path: Path) -> bool:
    """Whether a file begins as one of the video containers that are opened."""
    from stages.formats.reading import BRANDS

    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError:
        return False  # reading it as a picture will say why
    if head[4:8] == b"ftyp":
        return head[8:12] not in BRANDS
    transport_stream = head[:1] == b"G" and path.suffix.lower() in (".ts", ".mts", ".m2ts")
    return transport_stream or any(head[at : at + len(sign)] == sign for at, sign in VIDEOS)
