"""One stage applied to one picture, wherever an executor runs it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import TimeoutError as TimedOut
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pipeline import files
from pipeline.ledger import as_json, stamp
from pipeline.sample import Decision, Outcome, Reject, Sample
from pipeline.step import PictureStage, Step

Task = tuple[Sample, str, int]
"""A picture, the stamp of where it comes from, and to how many later stages it goes on at once."""


@dataclass(frozen=True)
class Work:
    """Turns a sample into the stage's row for it; the file is in place before the row is known.

    `then` is a later stage's work, for pictures that are better not read and decoded again for it.
    """

    step: Step
    processed: Path
    fingerprint: str
    then: Work | None = None

    def __call__(self, task: Task) -> list[Outcome]:
        """Rows of this stage and, as far as the picture goes on, of the later ones.

        Only Reject is a verdict on the picture.
        """
        sample, source, onward = task
        try:
            result = cast(PictureStage, self.step.stage)(sample)
        except Reject as reject:
            return [self.rejected(sample, source, reject.reason, reject.measured)]
        output = self.step.output(sample)
        content = self._put(sample, result, self.processed / output)
        outcome = self.kept(result, source, output, content)
        if not (onward and self.then):
            return [outcome]
        written = result.at(self.processed / output, content)
        try:
            return [outcome, *self.then((written, outcome.stamp, onward - 1))]
        except Exception:  # to be had again, and told, when it is that stage's turn
            return [outcome]

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

    def failed(self, sample: Sample, source: str, error: Exception, trace: str) -> Outcome:
        """The row for something that is our fault or the machine's; it is tried again next time."""
        from pebble import ProcessExpired

        known = {TimedOut: "timed_out", ProcessExpired: "crashed", MemoryError: "out_of_memory"}
        reason = next((word for kind, word in known.items() if isinstance(error, kind)), "failed")
        return Outcome(
            sample.key,
            sample.label,
            "error",
            self.fingerprint,
            source,
            reason,
            as_json(sample.facts),
            detail=trace,
        )

    def _put(self, before: Sample, after: Sample, path: Path) -> str:
        """Write, or link where the bytes are another stage's own; returns the content's digest."""
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
