"""One picture taken through the picture stages, wherever an executor runs it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from pipeline import files
from pipeline.executors import Lost, begin_part
from pipeline.ledger import as_json, stamp
from pipeline.sample import Decision, Outcome, Reject, Sample
from pipeline.step import PictureStage, Step


class Task(NamedTuple):
    """A picture, the stamp of what it comes from, and how many stages of the route it takes.

    `lost` says over which of them it has cost a worker already: that one is not tried again.
    """

    sample: Sample
    source: str
    stages: int
    lost: Lost | None = None


@dataclass(frozen=True)
class Work:
    """One stage's work: turns a sample into the stage's row, and puts the file in place first."""

    step: Step
    processed: Path
    fingerprint: str

    def __call__(self, sample: Sample, source: str) -> tuple[Outcome, Sample | None]:
        """The row, and the picture as it lies in the stage's folder (None unless kept).

        Reject is a verdict on the picture, any other exception an error. Raises OSError where
        the disk is full.
        """
        try:
            return self._judged(sample, source)
        except Exception as error:
            if files.is_full(error):
                raise
            return self.failed(sample, source, error), None

    def _judged(self, sample: Sample, source: str) -> tuple[Outcome, Sample | None]:
        try:
            result = cast(PictureStage, self.step.stage)(sample)
        except Reject as reject:
            return self.rejected(sample, source, reject.reason, reject.measured), None
        output = self.step.output(sample)
        path = self.processed / output
        content = self._put(sample, result, path)
        return self.kept(result, source, output, content), result.at(path, content)

    def settled(self, decision: Decision, source: str) -> Outcome:
        """The row for a whole-set stage's decision."""
        sample, reject = decision.sample, decision.reject
        if reject is not None:
            return self.rejected(sample, source, reject.reason, reject.measured)
        return self.kept(sample, source, self.step.output(sample, decision.within), sample.digest)

    def kept(self, sample: Sample, source: str, output: str, content: str) -> Outcome:
        facts = as_json(sample.facts)
        return Outcome(
            sample.key,
            sample.label,
            "kept",
            self.fingerprint,
            source,
            facts=facts,
            output=output,
            digest=content,
            stamp=stamp(content, facts),
        )

    def rejected(
        self, sample: Sample, source: str, reason: str, measured: Mapping[str, Any]
    ) -> Outcome:
        facts = as_json({**sample.facts, **measured})
        return Outcome(
            sample.key, sample.label, "rejected", self.fingerprint, source, reason, facts
        )

    def failed(self, sample: Sample, source: str, error: Exception) -> Outcome:
        """The row for something that is our fault or the machine's. It is tried again next time."""
        reason = "out_of_memory" if isinstance(error, MemoryError) else "failed"
        trace = "".join(traceback.format_exception(error))
        return Outcome(
            sample.key,
            sample.label,
            "error",
            self.fingerprint,
            source,
            error.reason if isinstance(error, Lost) else reason,
            as_json(sample.facts),
            detail=trace.encode("utf-8", "backslashreplace").decode(),
        )

    def _put(self, before: Sample, after: Sample, path: Path) -> str:
        """Write the picture, or link it where the stage left it alone; returns its digest."""
        unchanged = after.encoded is None and after.pixels is None
        if unchanged and before.digest:
            files.link(before.file, path)
            return before.digest
        data = before.file.read_bytes() if unchanged else after.encoded
        if data is None:
            from pipeline.pictures import encode

            data = encode(after.image)
        files.write(path, data)
        return files.digest(data)


@dataclass(frozen=True)
class Route:
    """The works of the picture stages, in order. A picture is decoded once for all of them."""

    works: tuple[Work, ...]

    def __call__(self, task: Task) -> dict[str, Outcome]:
        """Take a picture through the first stages; returns its rows by stage name.

        It stops at the first verdict other than kept. Raises OSError where the disk is full.
        """
        rows: dict[str, Outcome] = {}
        sample, source = task.sample, task.source
        for part, work in enumerate(self.works[: task.stages]):
            begin_part(part)
            if task.lost and task.lost.part == part:
                rows[work.step.name] = work.failed(sample, source, task.lost)
                break
            row, written = work(sample, source)
            rows[work.step.name] = row
            if written is None:
                break
            sample, source = written, row.stamp
        return rows
