"""A pipeline of four small stages, and a home of pictures for it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pipeline.executors import Executor
from pipeline.executors.serial import Serial
from pipeline.ledger import Ledger
from pipeline.pictures import decode, encode
from pipeline.runner import Runner
from pipeline.sample import Reject, Sample
from pipeline.step import PictureStage, Step
from pipeline.workbench import Workbench
from stages.dedupe import Dedupe
from stages.likeness.hashes import recognition
from stages.split import Split


@dataclass(frozen=True)
class Take:
    """Takes a JPEG of the user's over byte for byte. Each call is a line of the file `log`."""

    version: ClassVar[int] = 1
    log: str = ""

    def __call__(self, sample: Sample) -> Sample:
        self.note("take", sample)
        data = sample.file.read_bytes()
        if not data:
            raise Reject("empty")
        pixels = decode(data)
        height, width = pixels.shape[:2]
        size = {"width": width, "height": height, "bytes": len(data)}
        return sample.with_bytes(data, pixels, **size, **recognition(pixels))

    def note(self, stage: str, sample: Sample) -> None:
        if self.log:
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"{stage} {sample.key}\n")


@dataclass(frozen=True)
class Mark(Take):
    """Adds a fact and leaves the pixels alone; drops dark pictures."""

    def __call__(self, sample: Sample) -> Sample:
        self.note("mark", sample)
        mean = round(float(sample.image.mean()), 1)
        if mean < 20:
            raise Reject("dark", mean=mean)
        return sample.with_facts(mean=mean)


@dataclass(frozen=True)
class Brighten(Take):
    """Other pixels: each value times `scale`."""

    scale: float = 1.5

    def __call__(self, sample: Sample) -> Sample:
        self.note("lips", sample)
        return sample.with_image(np.clip(sample.image * self.scale, 0, 255).astype(np.uint8))


def chain(log: str = "", scale: float = 1.5, take: PictureStage | None = None) -> list[Step]:
    return [
        Step("take", take or Take(log), "taken", None),
        Step("mark", Mark(log), "marked", "take"),
        Step("unique", Dedupe(), "unique", "mark", whole_set=True),
        Step("lips", Brighten(log, scale), "lips", "unique"),
        Step("split", Split(val=0.5), "dataset", "lips", whole_set=True),
    ]


def picture(seed: int, brightest: int = 256, shape: tuple[int, int, int] = (24, 32, 3)) -> bytes:
    return encode(np.random.default_rng(seed).integers(0, brightest, shape, np.uint8))


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@dataclass(frozen=True)
class Home:
    """A raw folder, a processed folder, and what became of the pictures."""

    path: Path

    @property
    def log(self) -> str:
        return str(self.path / "calls")

    def put(self, key: str, data: bytes) -> Path:
        return put(self.path / "raw" / key, data)

    def run(
        self,
        steps: list[Step] | None = None,
        executor: Executor | None = None,
        say: Callable[[str], None] | None = None,
        one_by_one: bool = False,
    ) -> list[str]:
        """Bring the steps up to date as one command does; returns the lines it said."""
        lines: list[str] = []
        processed = self.path / "processed"
        processed.mkdir(exist_ok=True)
        with Ledger(processed / "ledger.sqlite") as ledger, executor or Serial() as running:
            bench = Workbench(processed)
            runner = Runner(self.path / "raw", bench, ledger, running, say or lines.append)
            wanted = steps or chain(self.log)
            for place, step in enumerate(wanted):
                runner.run(step, () if one_by_one else wanted[place + 1 :])
        return lines

    def calls(self) -> list[str]:
        """The calls of stages since the last time this was asked."""
        log = Path(self.log)
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return sorted(lines)

    def rows(self, columns: str = "*", where: str = "1") -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.path / "processed" / "ledger.sqlite")
        query = f"SELECT {columns} FROM outcome WHERE {where} ORDER BY stage, key"
        rows = connection.execute(query).fetchall()
        connection.close()
        return rows

    def tree(self, folder: str = "processed") -> dict[str, str]:
        """Digests of all files by path, but of the ledger and the lock."""
        paths = [path for path in (self.path / folder).rglob("*") if path.is_file()]
        return {
            str(path.relative_to(self.path)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
            if not path.name.startswith(("ledger.sqlite", ".lock"))
        }

    def output(self, stage: str, key: str) -> Path:
        ((output,),) = self.rows("output", f"stage = '{stage}' AND key = '{key}'")
        return Path(self.path, "processed", output)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Six pictures of two labels, brought up to date; a/copy.jpg is a/0.jpg once more."""
    home = Home(tmp_path)
    for seed, key in enumerate(("a/0.jpg", "a/1.jpg", "b/2.jpg", "b/3.jpg")):
        home.put(key, picture(seed))
    home.put("a/copy.jpg", picture(0))
    home.put("b/dark.jpg", picture(9, brightest=20))
    home.run()
    return home
