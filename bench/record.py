"""What the record costs as it grows: time, memory and file size at a million rows and at ten.

Rows as a real run of the default stages writes them go through the ledger's own `record`, with
files to match (links to one small JPEG). The whole-set stages are run for real. Then each command
that reads the record is run as a user runs it. Ten million rows take 20 minutes and 15 GB.
"""

from __future__ import annotations

import argparse
import base64
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from programs import ROOT, Peak, run

from pipeline import files
from pipeline.ledger import Ledger
from pipeline.pictures import encode
from pipeline.row_batch import ROWS
from pipeline.sample import Outcome, Sample
from pipeline.step import Step
from pipeline.work import Work
from stages.commands.common import CommonWithRegion
from stages.table import rows_for

A_PICTURE = 5.6  # rows, where stages drop as many as below
LINKS = 9000  # pictures that share a file: a file system allows some 65,000 names
LABELS = ("none", "openmouth", "pouting", "smile")
DROPPED = {"normalize": "not_an_image", "screen": "too_small", "faces": "no_face"}
DROPPED["lips"] = "turned_away"
SHARES = {"normalize": 0.01, "screen": 0.01, "faces": 0.07, "lips": 0.05}
COPIES = 0.05  # of pictures are copies of one that came a little earlier


class Row(NamedTuple):
    """A line of the table: what was done, its wall and CPU seconds, and its most memory."""

    name: str
    seconds: float
    processor: float
    megabytes: float


def steps() -> list[Step]:
    """The stages of the region lips with their default settings."""
    made: list[Step] = []
    for row in rows_for(CommonWithRegion()):
        before = made[-1].name if made else None
        made.append(Step(row.name, row.settings(), row.folder, before, row.whole_set))
    return made


def key_of(number: int) -> str:
    return f"{LABELS[number % len(LABELS)]}/IMG_{number:08}.jpg"


def first_facts(number: int) -> dict[str, Any]:
    """What `normalize` notes of a picture; a copy has the pixels of an earlier one."""
    chance = Random(number)
    if chance.random() < COPIES:
        chance = Random(max(0, number - len(LABELS)))
        chance.random()
    hashed, crops = chance.getrandbits(256), []
    for _ in range(5):
        crops.append(hashed.to_bytes(32, "little"))
        hashed ^= chance.getrandbits(256) & chance.getrandbits(256) & chance.getrandbits(256)
    return {
        "bytes": chance.randrange(20_000, 900_000),
        "content": chance.randbytes(16).hex(),
        "format": "JPEG",
        "hashes": base64.b64encode(b"".join(crops)).decode(),
        "height": chance.randrange(200, 2000),
        "spread": round(chance.uniform(20, 90), 2),
        "width": chance.randrange(200, 2000),
    }


def later_facts(stage: str, chance: Random) -> dict[str, Any]:
    """What a later stage adds."""
    if stage == "faces":
        return {"detector": "haar", "face": [101, 102, 303, 303], "faces": 1}
    if stage == "lips":
        numbers = chance.randbytes(136)
        return {
            "agreement": 0.928,
            "crop": [186, 200, 225, 225],
            "landmarks": [
                [100 + x, 100 + y] for x, y in zip(numbers[::2], numbers[1::2], strict=True)
            ],
            "padded": 0.0,
            "presence": 1.0,
            "roll": -0.9,
            "sharpness": 1.373,
            "yaw": 0.2,
        }
    return {}


def outcomes(
    step: Step, samples: Iterable[tuple[Sample, str]], processed: Path
) -> Iterator[Outcome]:
    """A picture stage's rows, and its files; samples come with the stamps of their input."""
    work = Work(step, processed, step.fingerprint())
    for sample, source in samples:
        number = int(sample.key[-12:-4])
        known = sample.facts or first_facts(number)
        chance = Random(number * len(SHARES) + list(SHARES).index(step.name))
        judged = sample.with_facts(**known, **later_facts(step.name, chance))
        if chance.random() < SHARES[step.name]:
            yield work.rejected_row(judged, source, DROPPED[step.name], {})
            continue
        output = step.output(sample)
        files.link(sample.file, processed / output)
        yield work.kept_row(judged, source, output, judged.facts["content"])


def fill(ledger: Ledger, step: Step, pictures: Iterable[tuple[Sample, str]], home: Path) -> float:
    """Record a picture stage's rows in batches, as a run does; returns the CPU seconds of that."""
    processed, took = home / "processed", 0.0
    for label in LABELS:
        (processed / step.folder / label).mkdir(parents=True)
    rows = outcomes(step, pictures, processed)
    while batch := list(islice(rows, ROWS)):
        began = time.process_time()
        ledger.record(step.name, batch)
        took += time.process_time() - began
    ledger.set_made_with(step.name, step.settings())
    return took


def raw_pictures(home: Path, count: int) -> Iterator[tuple[Sample, str]]:
    """Pictures in a raw folder, made as they are asked for."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    for label in LABELS:
        (home / "raw" / label).mkdir(parents=True)
    for number in range(count):
        if number % LINKS == 0:
            original = home / f"original-{number}.jpg"
            original.write_bytes(encode(noise))
            about = original.stat()
        key = key_of(number)
        path = home / "raw" / key
        os.link(original, path)
        yield Sample(key, key.split("/")[0], path), f"{about.st_size}:{about.st_mtime_ns}"


def kept(ledger: Ledger, stage: str, processed: Path) -> Iterator[tuple[Sample, str]]:
    stamps = ledger.kept(stage)
    return ((sample, stamps[sample.key]) for sample in list(ledger.samples(stage, processed)))


def timed(name: str, home: Path, *words: object) -> Row:
    """One command as a user runs it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    where = ("--raw", home / "raw", "--processed", home / "processed", "--workers", 0)
    done = run("-m", "pipeline", *words, *where)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Row(name, done.seconds, processor, done.alone)


def review(home: Path) -> list[Row]:
    """The review page's server: until it answers, and until it has filtered."""
    where = ("--raw", home / "raw", "--processed", home / "processed")
    command = [sys.executable, "-m", "pipeline", "review", *map(str, where)]
    began = time.perf_counter()
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process,
        Peak(process.pid) as peak,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().split()[-4]
        base, _, token = address.partition("?")
        rows = [Row("review: until it listens", time.perf_counter() - began, 0, 0)]
        for name, page in (
            ("review: the counts of its filters", "facets"),
            ("review: 500 rows of one label", "items?label=smile&start=1000"),
        ):
            began = time.perf_counter()
            mark = "&" if "?" in page else "?"
            with urllib.request.urlopen(f"{base}{page}{mark}{token}", timeout=600) as answer:
                answer.read()
            rows.append(Row(name, time.perf_counter() - began, 0, 0))
        process.send_signal(signal.SIGINT)
        process.communicate()
    return [row._replace(megabytes=peak.alone) for row in rows]


def measure(home: Path, count: int) -> Iterator[Row]:
    """Build a processed folder of so many pictures, and run what reads its record."""
    processed = home / "processed"
    by_name = {step.name: step for step in steps()}
    took = 0.0
    with Ledger(processed / "ledger.sqlite") as ledger:
        took += fill(ledger, by_name["normalize"], raw_pictures(home, count), home)
        took += fill(ledger, by_name["screen"], kept(ledger, "normalize", processed), home)
    yield timed("dedupe, first run", home, "dedupe")
    with Ledger(processed / "ledger.sqlite") as ledger:
        for stage, source in (("faces", "dedupe"), ("lips", "faces")):
            took += fill(ledger, by_name[stage], kept(ledger, source, processed), home)
    yield timed("split, first run", home, "split")
    yield Row("insert (record alone)", took, took, 0)
    yield timed("status", home, "status")
    yield timed("split, nothing to do", home, "split")
    path = home / "raw" / "smile" / "new.jpg"
    shutil.copy(next((home / "raw" / "smile").iterdir()), path)
    yield timed("split, one new picture", home, "split")
    yield timed("report", home, "report")
    yield from review(home)


def size(home: Path) -> str:
    path = home / "processed" / "ledger.sqlite"
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT COUNT(*) FROM outcome").fetchone()[0]
    connection.close()
    length = path.stat().st_size
    page = (home / "processed" / "report.html").stat().st_size
    return (
        f"{rows:,} rows, {length / 1e6:,.0f} MB, {length / rows:,.0f} bytes a row; "
        f"report.html {page / 1e6:.1f} MB"
    )


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    flags.add_argument("--folder", type=Path, help="where to work; a new temporary folder if unset")
    flags.add_argument("--keep", action="store_true", help="leave the folder there")
    chosen = flags.parse_args()
    for rows in chosen.rows:
        home = Path(tempfile.mkdtemp(prefix="record-", dir=chosen.folder))
        try:
            count = int(rows / A_PICTURE)
            print(f"{rows:,} rows, {count:,} pictures, in {home}", flush=True)
            for row in measure(home, count):
                print(
                    f"{row.name:<36}{row.seconds:9,.1f} s{row.processor:9,.1f} s CPU"
                    f"{row.megabytes:9,.0f} MB",
                    flush=True,
                )
            print(size(home), flush=True)
        finally:
            if not chosen.keep:
                shutil.rmtree(home)


if __name__ == "__main__":
    main()
