"""What the record costs as it grows: time, memory and file size.

Up to 200,000 pictures (a million rows) there are files to match the rows, links to one small JPEG:
the whole-set stages and every command that reads the record are run as a user runs them. Beyond,
rows alone are made, nine in ten of them by copying in SQL, and what the commands ask of the record
is asked of it.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from programs import ROOT, Peak, run
from record_rows import A_PICTURE, LABELS, key_of, multiply, record_all, record_stage, steps

from pipeline.ledger import Ledger
from pipeline.pictures import encode
from pipeline.sample import Sample

WITH_FILES = 200_000  # pictures, at most
LINKS = 9000  # pictures that share a file: a file system allows some 65,000 names


class Row(NamedTuple):
    """A line of the table: what was done, its wall and CPU seconds, and its most memory."""

    name: str
    seconds: float
    processor: float
    megabytes: float

    def __str__(self) -> str:
        return (
            f"{self.name:<36}{self.seconds:9,.1f} s{self.processor:9,.1f} s CPU"
            f"{self.megabytes:9,.0f} MB"
        )


def raw_pictures(home: Path, count: int) -> Iterator[tuple[Sample, str]]:
    """Pictures in a raw folder with their stamps, made as they are asked for."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    for label in LABELS:
        (home / "raw" / label).mkdir(parents=True)
    for number in range(count):
        if number % LINKS == 0:
            file = home / f"original-{number}.jpg"
            file.write_bytes(encode(noise))
            about = file.stat()
        key = key_of(number)
        path = home / "raw" / key
        path.hardlink_to(file)
        yield Sample(key, key.split("/")[0], path), f"{about.st_size}:{about.st_mtime_ns}"


def kept(ledger: Ledger, stage: str, processed: Path) -> Iterator[tuple[Sample, str]]:
    stamps = ledger.kept(stage)
    return ((sample, stamps[sample.key]) for sample in list(ledger.samples(stage, processed)))


def timed(name: str, home: Path, *words: object) -> Row:
    """One command as a user runs it."""
    where = ("--raw", home / "raw", "--processed", home / "processed", "--workers", 0)
    done = run("-m", "pipeline", *words, *where)
    return Row(name, done.seconds, done.cpu_seconds, done.alone)


def review(home: Path) -> Iterator[Row]:
    """The review page's server: until it listens, and two answers."""
    where = ("--raw", home / "raw", "--processed", home / "processed")
    command = [sys.executable, "-m", "pipeline", "review", *map(str, where)]
    began = time.perf_counter()
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process,
        Peak(process.pid) as peak,
    ):
        assert process.stdout is not None
        base, _, token = process.stdout.readline().split()[-4].partition("?")
        yield Row("review: until it listens", time.perf_counter() - began, 0, peak.alone)
        for name, page in (
            ("review: the counts of its filters", "facets"),
            ("review: 500 rows of one label", "items?label=smile&start=1000"),
        ):
            began = time.perf_counter()
            mark = "&" if "?" in page else "?"
            with urllib.request.urlopen(f"{base}{page}{mark}{token}", timeout=600) as answer:
                answer.read()
            yield Row(name, time.perf_counter() - began, 0, peak.alone)
        process.send_signal(signal.SIGINT)
        process.communicate()


def with_files(home: Path, count: int) -> Iterator[Row]:
    """Build a processed folder of so many pictures, and run what reads its record."""
    processed = home / "processed"
    by_name = {step.name: step for step in steps()}
    with Ledger(processed / "ledger.sqlite") as ledger:
        took = record_stage(ledger, by_name["normalize"], raw_pictures(home, count), processed)
        pictures = kept(ledger, "normalize", processed)
        took += record_stage(ledger, by_name["screen"], pictures, processed)
    yield timed("dedupe, first run", home, "dedupe")
    with Ledger(processed / "ledger.sqlite") as ledger:
        for stage, source in (("faces", "dedupe"), ("lips", "faces")):
            pictures = kept(ledger, source, processed)
            took += record_stage(ledger, by_name[stage], pictures, processed)
    yield timed("split, first run", home, "split")
    yield Row("record the other stages' rows", took, took, 0)
    yield timed("status", home, "status")
    yield timed("split, nothing to do", home, "split")
    folder = home / "raw" / "smile"
    shutil.copy(next(folder.iterdir()), folder / "new.jpg")
    yield timed("split, one new picture", home, "split")
    yield timed("report", home, "report")
    yield from review(home)


def without_files(home: Path, count: int) -> Iterator[Row]:
    """Record a tenth of the rows, multiply them by ten, then ask what the commands ask, in another
    program.
    """
    path = home / "processed" / "ledger.sqlite"
    with Ledger(path) as ledger:
        took = record_all(ledger, range(count // 10))
    yield Row("record the first tenth", took, took, 0)
    multiply(path, 10)
    with Ledger(path) as ledger:
        took = record_all(ledger, range(count // 10, count // 10 + count // 100))
    yield Row("record a hundredth more", took, took, 0)
    subprocess.run([sys.executable, __file__, "--read", home / "processed"], check=True)


def read(processed: Path) -> None:
    """Ask of a record what commands ask; prints a line for each question, with the most
    memory up to then.
    """
    every = steps()
    with Ledger(processed / "ledger.sqlite") as ledger:

        def ask(name: str, question: Callable[[], object]) -> None:
            began, processor = time.perf_counter(), time.process_time()
            question()
            took = time.perf_counter() - began, time.process_time() - processor
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
            print(Row(name, *took, peak), flush=True)

        def compare() -> None:
            for step in every[1:]:
                found = ledger.compare(step.name, step.fingerprint(), step.input)
                assert not (found.todo or found.gone)

        def draw() -> None:
            split = every[-1]
            rows = ledger.samples("lips", processed)
            decisions = split.decide([sample.with_only(split.needs()) for sample in rows], {})
            assert sum(1 for _ in decisions)

        ask("counts of every stage", lambda: [ledger.counts(step.name) for step in every])
        ask("counts of the labels", lambda: ledger.labels("split"))
        ask("what is to do, but for files", compare)
        ask("outputs of one stage", lambda: sum(1 for _ in ledger.outputs("lips")))
        ask("read the kept rows, and draw a split", draw)
        ask("what a model was trained on", lambda: ledger.fingerprint("split"))


def size(processed: Path) -> str:
    path = processed / "ledger.sqlite"
    connection = sqlite3.connect(path)
    (rows,) = connection.execute("SELECT COUNT(*) FROM outcome").fetchone()
    connection.close()
    length = path.stat().st_size
    return f"{rows:,} rows, {length / 1e6:,.0f} MB, {length / rows:,.0f} bytes a row"


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    flags.add_argument("--folder", type=Path, help="where to work; a temporary folder if unset")
    flags.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    chosen = flags.parse_args()
    if chosen.read:
        read(chosen.read)
        return
    for rows in chosen.rows:
        with tempfile.TemporaryDirectory(prefix="record-", dir=chosen.folder) as folder:
            home, count = Path(folder), int(rows / A_PICTURE)
            print(f"{rows:,} rows, {count:,} pictures", flush=True)
            for row in (with_files if count <= WITH_FILES else without_files)(home, count):
                print(row, flush=True)
            print(size(home / "processed"), flush=True)


if __name__ == "__main__":
    main()
