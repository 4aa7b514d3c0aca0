"""The answer for each face, and the tables of answers: predictions.csv, predictions.jsonl."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO

from pipeline.files import HALF
from pipeline.sample import Facts
from pipeline.tables import csv_text
from stages.predict.results import CSV, JSONL

BOXES = ("face_x", "face_y", "face_w", "face_h", "x", "y", "width", "height")


@dataclass(frozen=True)
class Answer:
    """The answer for one face: the share of each label, or the reason why there is none.

    `facts` may hold `face` and `crop` (left, top, width, height) and `landmarks` (68 × [x, y]) or,
    of FaceMesh alone, `lips` (20 × [x, y]), all in pixels of the upright picture, and `detector`,
    who found the face. `frame` (from 0) and `time` (seconds) are a video's.
    """

    file: str
    labels: Sequence[str]
    shares: tuple[float, ...] = ()
    reason: str = ""
    facts: Facts = field(default_factory=Facts)
    frame: int | None = None
    time: float | None = None

    @property
    def label(self) -> str:
        """The likeliest label; empty where there is no answer."""
        return self.labels[self.shares.index(max(self.shares))] if self.shares else ""

    @property
    def text(self) -> str:
        """The answer for a person."""
        return f"{self.label} {max(self.shares):.0%}" if self.shares else self.reason

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON's types: a line of predictions.jsonl."""
        shares = dict(zip(self.labels, self.shares, strict=True)) if self.shares else None
        place = {} if self.frame is None else {"frame": self.frame, "time": self.time}
        known = {
            name: self.facts.get(name) for name in ("face", "detector", "crop", "landmarks", "lips")
        }
        return {
            "file": self.file,
            **place,
            "label": self.label or None,
            "probabilities": shares,
            **known,
            "reason": self.reason or None,
        }

    def as_row(self) -> list[object]:
        """The row of predictions.csv."""
        shares = [f"{share:.4f}" for share in self.shares] or [""] * len(self.labels)
        frame = ["", ""] if self.frame is None else [self.frame, f"{self.time:.3f}"]
        boxes = [*self.facts.get("face", [""] * 4), *self.facts.get("crop", [""] * 4)]
        return [self.file, *frame, self.label, *shares, *boxes, self.reason]


class Tables:
    """Writes answers as they come; the files get their names when all is written."""

    def __init__(
        self,
        folder: Path,
        labels: Sequence[str],
        csv: bool,
        jsonl: bool,
        replaced: Collection[Path] = (),
    ) -> None:
        """`replaced` are files of an earlier run in the folder. They go when the first rows of this
        one are there; the tables among them stay until their successors are finished.
        """
        wanted = {CSV: csv, JSONL: jsonl}
        self._names = [name for name, written in wanted.items() if written]
        self._folder = folder
        self._tables = {folder / name for name in wanted}
        self._replaced = set(replaced) - {folder / f"{HALF}{name}" for name in self._names}
        self._header = ["file", "frame", "time", "label", *(f"p_{label}" for label in labels)]
        self._stack = ExitStack()
        self._files: dict[str, TextIO] = {}
        self._rows = 0

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in self._names:
            # File names need not be Unicode: their odd bytes are spelled out.
            beside = open(
                self._folder / f"{HALF}{name}", "w", -1, "utf-8", "backslashreplace", newline=""
            )
            self._files[name] = self._stack.enter_context(beside)
        if CSV in self._files:
            self._files[CSV].write(csv_text([*self._header, *BOXES, "reason"], []))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """After an interruption the rows so far are kept; without any, the earlier tables stay."""
        self._stack.close()
        finished = kind is None or self._rows > 0
        if finished and not self._rows:
            _remove(self._replaced - self._tables)
        for name in self._names:
            beside = self._folder / f"{HALF}{name}"
            if finished:
                beside.replace(self._folder / name)
            else:
                beside.unlink()
        if finished:
            written = {self._folder / name for name in self._names}
            _remove(self._replaced & self._tables - written)

    def add(self, answers: Sequence[Answer]) -> None:
        """A row and a line for each; on disk when this returns, for the run may be killed."""
        if not self._rows:
            _remove(self._replaced - self._tables)
        if table := self._files.get(CSV):
            table.write(csv_text(None, (answer.as_row() for answer in answers)))
            table.flush()
        if lines := self._files.get(JSONL):
            lines.writelines(
                json.dumps(answer.as_dict(), ensure_ascii=False) + "\n" for answer in answers
            )
            lines.flush()
        self._rows += len(answers)


def _remove(paths: Collection[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
