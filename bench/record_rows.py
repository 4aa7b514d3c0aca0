"""Rows as a real run of the default stages writes them, for any number of pictures."""

from __future__ import annotations

import base64
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from pipeline import files
from pipeline.ledger import Ledger
from pipeline.row_batch import ROWS
from pipeline.sample import Decision, Outcome, Reject, Sample
from pipeline.step import Step
from pipeline.work import Work
from stages.commands.common import CommonWithRegion
from stages.table import rows_for

A_PICTURE = 5.6  # rows, where stages drop as many as below
LABELS = ("none", "openmouth", "pouting", "smile")
DROPPED = {"normalize": "not_an_image", "screen": "too_small", "faces": "no_face"}
DROPPED["lips"] = "turned_away"
SHARES = {"normalize": 0.01, "screen": 0.01, "faces": 0.07, "lips": 0.05}
COPIES = 0.05  # of pictures are copies of one that came a little earlier


def steps() -> list[Step]:
    """The stages of the region lips with their default settings."""
    made: list[Step] = []
    for row in rows_for(CommonWithRegion()):
        before = made[-1].name if made else None
        made.append(Step(row.name, row.settings(), row.folder, before, row.whole_set))
    return made


def key_of(number: int) -> str:
    return f"{LABELS[number % len(LABELS)]}/IMG_{number:08}.jpg"


def number_of(key: str) -> int:
    return int(key[-12:-4])


def original(number: int) -> int:
    """The number of the picture that this one shows: its own, or for a copy an earlier one's."""
    is_copy = Random(number).random() < COPIES
    return max(0, number - len(LABELS)) if is_copy else number


def first_facts(number: int) -> dict[str, Any]:
    """What `normalize` notes of a picture."""
    chance = Random(f"picture {original(number)}")
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
        xs, ys = chance.randbytes(68), chance.randbytes(68)
        return {
            "agreement": 0.928,
            "crop": [186, 200, 225, 225],
            "landmarks": [[100 + x, 100 + y] for x, y in zip(xs, ys, strict=True)],
            "padded": 0.0,
            "presence": 1.0,
            "roll": -0.9,
            "sharpness": 1.373,
            "yaw": 0.2,
        }
    return {}


def judged(work: Work, sample: Sample, source: str) -> tuple[Outcome, Sample]:
    """A picture stage's row, and the picture as the next stage takes it."""
    number, stage = number_of(sample.key), work.step.name
    chance = Random(number * len(SHARES) + list(SHARES).index(stage))
    first = {} if sample.facts else first_facts(number)
    found = sample.with_facts(**first, **later_facts(stage, chance))
    if chance.random() < SHARES[stage]:
        return work.rejected_row(found, source, DROPPED[stage], {}), found
    content = found.facts["content"]
    return work.kept_row(found, source, work.step.output(sample), content), found


def decided(work: Work, sample: Sample, source: str) -> tuple[Outcome, Sample]:
    """A whole-set stage's row as it would be: copies dropped, one picture in ten in val."""
    number = number_of(sample.key)
    if work.step.name == "split":
        side = "train" if number % 10 else "val"
        sample = sample.with_facts(split=side)
        return work.decision_row(Decision(sample, within=side), source), sample
    of, reject = original(number), None
    if of != number:
        reject = Reject("duplicate", of=key_of(of), distance=0, kind="exact")
    return work.decision_row(Decision(sample, reject), source), sample


def rows_of(number: int, works: Iterable[Work]) -> Iterator[tuple[str, Outcome]]:
    """All rows of a picture, by stage name; no file is written."""
    key, source = key_of(number), f"54321:17{number:017}"
    sample = Sample(key, key.split("/")[0], Path(key))
    for work in works:
        judge = decided if work.step.whole_set else judged
        row, sample = judge(work, sample, source)
        yield work.step.name, row
        if row.verdict != "kept":
            break
        source = row.stamp


def record_all(ledger: Ledger, numbers: range) -> float:
    """Record the rows of these pictures in batches, as a run does; returns the CPU seconds of
    that alone.
    """
    works = [Work(step, Path(), step.fingerprint()) for step in steps()]
    took = 0.0
    for start in range(0, len(numbers), ROWS):
        batch: dict[str, list[Outcome]] = defaultdict(list)
        for number in numbers[start : start + ROWS]:
            for stage, row in rows_of(number, works):
                batch[stage].append(row)
        began = time.process_time()
        for stage, rows in batch.items():
            ledger.record(stage, rows)
        took += time.process_time() - began
    for work in works:
        ledger.set_made_with(work.step.name, work.step.settings())
    return took


def multiply(ledger: Path, times: int) -> None:
    """Give a ledger so many times its rows, in SQL: the same ones under other keys."""
    connection = sqlite3.connect(ledger)
    columns = "label, verdict, fingerprint, source, reason, facts, output, digest, stamp, detail"
    for number in range(1, times):
        with connection:
            connection.execute(
                "INSERT INTO outcome SELECT stage, replace(key, '/IMG_', ?), "
                f"{columns} FROM outcome WHERE instr(key, '/IMG_')",
                (f"/IMG{number}_",),
            )
    connection.close()


def record_stage(
    ledger: Ledger, step: Step, pictures: Iterable[tuple[Sample, str]], processed: Path
) -> float:
    """Record a picture stage's rows in batches, and make its files as links to those of the stage
    before; returns the CPU seconds of the recording alone. Pictures come with their stamps.
    """
    for label in LABELS:
        (processed / step.folder / label).mkdir(parents=True)
    work, took = Work(step, processed, step.fingerprint()), 0.0
    remaining = iter(pictures)
    while batch := list(islice(remaining, ROWS)):
        rows = [judged(work, sample, source)[0] for sample, source in batch]
        for (sample, _), row in zip(batch, rows, strict=True):
            if row.output:
                files.link(sample.file, processed / row.output)
        began = time.process_time()
        ledger.record(step.name, rows)
        took += time.process_time() - began
    ledger.set_made_with(step.name, step.settings())
    return took
