"""One picture taken through the picture stages, wherever an executor runs it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from pipeline import files
from pipeline.executors import Lost, begin_part
from pipeline.ledger import as_json, stamp
from pipeline.sample import Decision, Outcome, Reject, Sample
from pipeline.step import PictureStage, Step
from pipeline.store import Place, StoreTrouble, below


class Task(NamedTuple):
    """A picture, the stamp of the input it was made from, and how many stages of the route it
    goes through.

    `lost` names the stage in which a worker was lost over this picture; that stage is not run
    again.
    """

    sample: Sample
    source: str
    stages: int
    lost: Lost | None = None


@dataclass(frozen=True)
class Work:
    """One stage's work: writes the stage's file, then returns the stage's row."""

    step: Step
    processed: Place
    fingerprint: str

    def __call__(self, sample: Sample, source: str) -> tuple[Outcome, Sample | None]:
        """The row, and the picture as it lies in the stage's folder (None if it was not kept).

        Reject is a verdict on the picture; any other exception becomes an error. Raises OSError
        if the disk is full, StoreTrouble if a store no longer answers.
        """
        try:
            return self._judged(sample, source)
        except Exception as error:
            if files.is_full(error) or isinstance(error, StoreTrouble):
                raise
            return self.error_row(sample, source, error), None

    def _judged(self, sample: Sample, source: str) -> tuple[Outcome, Sample | None]:
        try:
            result = cast(PictureStage, self.step.stage)(sample)
        except Reject as reject:
            return self.rejected_row(sample, source, reject.reason, reject.measured), None
        output = self.step.output(sample)
        path = self.processed / output
        content = self._put(sample, result, path)
        return self.kept_row(result, source, output, content), result.at(path, content)

    def decision_row(self, decision: Decision, source: str) -> Outcome:
        """The row for a whole-set stage's decision."""
        sample, reject = decision.sample, decision.reject
        if reject is not None:
            return self.rejected_row(sample, source, reject.reason, reject.measured)
        return self.kept_row(sample, source, self.output(decision), sample.digest)

    def output(self, decision: Decision) -> str:
        """Where a kept picture of a whole-set stage lies, relative to the processed folder."""
        if self.step.keeps_tree:
            return self.step.output(decision.sample, decision.within)
        return below(decision.sample.file, self.processed)

    def kept_row(self, sample: Sample, source: str, output: str, content: str) -> Outcome:
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

    def rejected_row(
        self, sample: Sample, source: str, reason: str, measured: Mapping[str, Any]
    ) -> Outcome:
        facts = as_json({**sample.facts, **measured})
        return Outcome(
            sample.key, sample.label, "rejected", self.fingerprint, source, reason, facts
        )

    def error_row(self, sample: Sample, source: str, error: Exception) -> Outcome:
        """The row for a failure of the program or the machine. The next command tries again."""
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

    def _put(self, before: Sample, after: Sample, path: Place) -> str:
        """Write the picture, or link it if the stage did not change it; returns its digest."""
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
        """Take a picture through the first `task.stages` stages; returns its rows by stage name.

        It stops at the first verdict other than kept. Raises as Work.
        """
        rows: dict[str, Outcome] = {}
        sample, source = task.sample, task.source
        for part, work in enumerate(self.works[: task.stages]):
            begin_part(part)
            if task.lost and task.lost.part == part:
                rows[work.step.name] = work.error_row(sample, source, task.lost)
                break
            row, written = work(sample, source)
            rows[work.step.name] = row
            if written is None:
                break
            sample, source = written, row.stamp
        return rows
