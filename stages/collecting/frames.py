"""Frames of films as pictures: every so many seconds, with a face, or when the face changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from pipeline import files
from pipeline.pictures import encode
from pipeline.sample import Facts, Image, Reject
from pipeline.sources import Source, append, read
from stages.likeness.hashes import recognition
from stages.likeness.pairs import distance
from stages.video.frames import Frame

CHANGE = 40  # bits of 256 in which a face that moved or changed its expression differs


class FaceFinder(Protocol):
    """What `Faces.in_image` does."""

    def __call__(self, image: Image) -> list[list[int]]: ...


class Still(NamedTuple):
    """A frame that is kept, and the time at which it is shown, in seconds."""

    time: float
    image: Image


def every(frames: Iterable[Frame], seconds: float) -> Iterator[Still]:
    """The first frame, and then the first one after each so many seconds."""
    due = float("-inf")
    for frame in frames:
        if frame.time >= due:
            due = max(frame.time, 0.0) + seconds
            yield Still(frame.time, frame.image)


def with_face(stills: Iterable[Still], find: FaceFinder, changed: bool) -> Iterator[Still]:
    """The frames that show a face; with `changed`, those whose face is not as in the last one."""
    last: Facts | None = None
    for still in stills:
        try:
            left, top, width, height = find(still.image)[0]
        except Reject:
            continue
        left, top = max(0, left), max(0, top)
        seen = recognition(still.image[top : top + height, left : left + width])
        if not (changed and last and _alike(last, seen)):
            last = seen
            yield still


def _alike(one: Facts, other: Facts) -> bool:
    """Whether two faces look the same; a face with too little in it is like none."""
    return bool(one["hashes"] and other["hashes"]) and distance(one, other) <= CHANGE


def keep(folder: Path, film: Path, stills: Iterable[Still]) -> Iterator[Path]:
    """Write frames into a label's folder, with their rows in sources.csv; yields their files.

    The film and the time name a file, the film is its group. A frame that is there stays.
    """
    there = {source.file for source in read(folder)}
    film_name = f"{files.slug(film.stem)}-{files.short_digest(film.name)}"
    for still in stills:
        name = f"{film_name}-{still.time:09.3f}.jpg"
        if name not in there:
            files.write(folder / name, encode(still.image))
            title = f"{film.name} at {still.time:.3f} s"
            append(folder, [Source(name, title=title, query="frames", group=film_name)])
        yield folder / name
