"""What to label: a picture, a video, a folder, a pattern, a list, standard input."""

from __future__ import annotations

import glob
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import files, raw
from pipeline.sample import Sample
from pipeline.trouble import Usage
from stages.formats.containers import is_video
from stages.predict.results import results_among


@dataclass(frozen=True)
class Input:
    """A picture or video to label; `refusal` is the reason why it must not be opened, or ""."""

    sample: Sample
    refusal: str = ""

    @property
    def is_video(self) -> bool:
        """Whether it may be opened, and begins as a video does."""
        file, given = self.sample.file, self.sample.encoded
        return not self.refusal and given is None and isinstance(file, Path) and is_video(file)


def inputs(given: str, listed: Path | None = None, follow_links: bool = False) -> Iterator[Input]:
    """Everything to label, in order. Raises Usage where there is nothing.

    `given` is "-" for a picture from standard input, or a picture, video, folder or pattern;
    `listed` is a text file that names a picture or video on each line. With `follow_links`, links
    that lead out of a folder are followed.
    """
    if listed is not None:
        yield from _listed(listed)
    elif not given:
        raise Usage("give --input a picture, a folder or a video (make predict INPUT=…)")
    elif given == "-":
        yield Input(Sample("standard input", "", Path("-"), encoded=sys.stdin.buffer.read()))
    elif stat.S_ISDIR(_mode(Path(given))):
        yield from _below(Path(given), follow_links)
    elif stat.S_ISREG(_mode(Path(given))):
        yield Input(Sample(Path(given).name, "", Path(given)))
    else:
        yield from _matching(given)


def _below(folder: Path, follow_links: bool) -> Iterator[Input]:
    listing = raw.find(folder, follow_links)
    for line in listing.remarks():
        print(files.shown(line))
    own = _results(Path(found.path) for found in listing.files)
    for found in listing.files:
        if Path(found.path) not in own:
            refusal = found.refusal.replace("no_label", "")
            yield Input(Sample(found.key, "", Path(found.path)), refusal)


def _matching(pattern: str) -> Iterator[Input]:
    # Path's own glob takes no absolute pattern.
    found = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
    found = [path for path in found if not path.is_dir()]
    if not found:
        raise Usage(f"{pattern}: no such picture or folder")
    own = _results(found)
    yield from (_named(path) for path in found if path not in own)


def _results(paths: Iterable[Path]) -> set[Path]:
    """Results of earlier predictions among some files; a line is printed where there are some."""
    paths = list(paths)
    own = results_among(paths).intersection(paths)
    if own:
        print(f"predict: {len(own):,} files left out: they are results of earlier predictions")
    return own


def _named(path: Path) -> Input:
    return Input(Sample(str(path), "", path), _refusal(_mode(path)))


def _refusal(mode: int) -> str:
    if stat.S_ISREG(mode):
        return ""
    return "not_a_file" if mode else "missing"


def _mode(path: Path) -> int:
    """The file's type and permissions as `stat` gives them; 0 where there is no such file."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # ValueError: the name cannot be a file's
        return 0


def _listed(path: Path) -> Iterator[Input]:
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise Usage(f"{path} cannot be read ({error.strerror})") from error
    for line in dict.fromkeys(line for line in text.split("\n") if line.strip()):
        yield _named(Path(line))
