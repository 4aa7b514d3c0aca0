"""Bring a stage's folder up to date with the one before."""

from __future__ import annotations

import errno
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import cast

from tqdm import tqdm

from pipeline import files
from pipeline.executors import Executor
from pipeline.ledger import Ledger
from pipeline.plan import Plan, Planner
from pipeline.sample import Decision, Outcome, Sample
from pipeline.step import SetStage, Step
from pipeline.trouble import Trouble
from pipeline.work import Task, Work

BATCH = 512  # rows to a commit, and
BATCH_SECONDS = 5.0  # no longer than this between two commits
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Runner:
    """Brings steps up to date in order. Says what it does through `say`."""

    def __init__(
        self,
        raw: Path,
        processed: Path,
        ledger: Ledger,
        executor: Executor,
        say: Callable[[str], None] = print,
        follow_links: bool = False,
    ) -> None:
        self.planner = Planner(raw, processed, ledger, follow_links)
        self._processed = processed
        self._ledger = ledger
        self._executor = executor
        self._say = say
        self._begun: set[str] = set()  # steps that have done something

    def run(self, step: Step, after: Sequence[Step] = ()) -> int:
        """Bring one step up to date; returns how many pictures ended in error. Raises Trouble
        where the machine gives out.

        Pictures that the steps of `after`, those that are run next, have not seen go on to them
        at once, past the whole-set steps among them (but for copies, which those may leave out):
        whatever a whole-set step then says is put right when it is each step's turn.
        """
        plan = self.planner.plan(step)
        self._announce(step, plan)
        try:
            if not plan.empty:
                work = Work(step, self._processed, plan.fingerprint)
                if step.whole_set:
                    self._decide(step, work, plan)
                else:
                    self._each(work, plan, after)
            self._ledger.set_made_with(step.name, step.settings())
        except OSError as error:
            if not _is_full(error):
                raise
            raise Trouble(
                f"cannot write to {self._processed} ({error.strerror}): {self._need(step, plan)}; "
                "make room, then run the same command again; it goes on from here"
            ) from error
        idle = plan.empty and step.name not in self._begun
        kept, rejected, errors = self._ledger.counts(step.name)
        said = _summary(step, kept, rejected, errors)
        self._say(said + (" (up to date)" if idle else ""))
        return errors

    def _need(self, step: Step, plan: Plan) -> str:
        """How much room there is, and how much a step still takes by what it took so far."""
        free = shutil.disk_usage(self._processed).free / 1e6
        left = len(plan.stale.keys() - self._ledger.keys(step.name))
        made = (self._processed / output for output in self._ledger.outputs(step.name))
        sizes = [path.stat().st_size for path in made if path.exists()]
        each = sum(sizes) / max(1, len(sizes))
        missing = max(0.0, left * each / 1e6 - free)
        about = f", about {missing:,.1f} MB too little" if missing else ""
        return (
            f"{free:,.1f} MB are free{about} for the {left:,} pictures that {step.name} has to do"
        )

    def _remove(self, step: Step, paths: Iterable[str]) -> None:
        """Delete files, and the folders they leave empty: ImageFolder takes those for classes."""
        root = self._processed / step.folder
        for path in paths:
            file = self._processed / path
            file.unlink(missing_ok=True)
            for folder in file.parents:
                if folder == root or not folder.is_dir() or any(folder.iterdir()):
                    break
                folder.rmdir()

    def _announce(self, step: Step, plan: Plan) -> None:
        before = self._ledger.made_with(step.name)
        changes = ", ".join(
            f"{step.name}.{name} {before[name]} → {value}"
            for name, value in step.settings().items()
            if name in before and before[name] != value
        )
        if changes and plan.remade:
            self._say(f"{changes}: {len(plan.remade):,} pictures will be redone")

    def _each(self, work: Work, plan: Plan, after: Sequence[Step]) -> None:
        """Do what is stale, picture by picture."""
        step = work.step
        self._ledger.forget(step.name, plan.stale.keys() | plan.gone)
        self._remove(step, plan.stray)
        later = [one for one in after if not one.whole_set]
        then: Work | None = None
        for one in reversed(later):
            then = Work(one, self._processed, one.fingerprint(), then)
        rows: dict[str, list[Outcome]] = {one.name: [] for one in (step, *later)}
        bar = tqdm(
            self._outcomes(replace(work, then=then), plan, self._far(step, plan, after)),
            desc=" … ".join([step.name, *(one.name for one in later[-1:])]),
            unit=" pictures",
            total=len(plan.stale),
            dynamic_ncols=True,
        )
        rejected = 0
        bar.set_postfix(rejected=rejected, refresh=False)
        committed = time.monotonic()
        try:
            for outcomes in bar:
                for (name, row), outcome in zip(rows.items(), outcomes, strict=False):
                    row.append(outcome)
                    self._begun.add(name)
                if outcomes[-1].verdict == "rejected":
                    rejected += 1
                    bar.set_postfix(rejected=rejected, refresh=False)
                if len(rows[step.name]) >= BATCH or time.monotonic() - committed > BATCH_SECONDS:
                    self._commit(rows)
                    committed = time.monotonic()
        finally:
            bar.close()
            self._commit(rows)

    def _commit(self, rows: dict[str, list[Outcome]]) -> None:
        """Rows follow their files to the disk: one sync for a batch of them."""
        os.sync()
        for name, batch in rows.items():
            self._ledger.record(name, batch)
            batch.clear()

    def _far(self, step: Step, plan: Plan, after: Sequence[Step]) -> Callable[[str], int]:
        """Through how many later picture steps a key goes at once: those that do not know it."""
        known = [self._ledger.keys(one.name) for one in after if not one.whole_set]
        alone = sum(1 for _ in takewhile(lambda one: not one.whole_set, after))
        copies = self.planner.copies(step, plan)

        def far(key: str) -> int:
            most = alone if alone < len(known) and copies.again(key) else len(known)
            return next((place for place in range(most) if key in known[place]), most)

        return far

    def _outcomes(
        self, work: Work, plan: Plan, far: Callable[[str], int]
    ) -> Iterator[list[Outcome]]:
        """Refuse what must not be opened; the executor has the rest.

        Where a picture that went on ended badly, whose fault it was shows when it is done again
        without going on.
        """
        for found in self.planner.refused(work.step, plan):
            sample = Sample(found.key, found.label, Path(found.path))
            yield [work.rejected(sample, found.stamp, found.refusal, {})]
        tasks: Iterable[Task] = (
            (sample, plan.stale[sample.key], far(sample.key))
            for sample in self.planner.samples(work.step, plan.stale)
        )
        while tasks:
            again: list[Task] = []
            for (sample, source, onward), result in self._executor.map(work, tasks):
                if not isinstance(result, Exception):
                    yield result
                elif onward and not _is_full(result):
                    again.append((sample, source, 0))
                else:
                    yield [self._failed(work, sample, source, result)]
            tasks = again

    def _failed(self, work: Work, sample: Sample, source: str, error: Exception) -> Outcome:
        if _is_full(error):
            raise error
        trace = getattr(error, "traceback", None) or "".join(traceback.format_exception(error))
        trace = str(trace).encode("utf-8", "backslashreplace").decode()
        with open(self._processed / "errors.log", "a", encoding="utf-8") as log:
            log.write(
                f"{work.step.name}: {files.shown(sample.key, but='')}\n{files.shown(trace)}\n"
            )
        return work.failed(sample, source, error, trace)

    def _decide(self, step: Step, work: Work, plan: Plan) -> None:
        """Ask a whole-set stage about all its pictures, and lay out its folder accordingly.

        Rows that change go first; then files; then the new rows in one transaction. Killed in
        between, the rows that are missing make the next run decide again.
        """
        stage = cast(SetStage, step.stage)
        sources, before = self.planner.sources(step), self._ledger.outputs(step.name)
        decisions = sorted(stage(list(self.planner.samples(step))), key=lambda one: one.sample.key)
        wanted: set[str] = set()
        changed: dict[str, Decision] = {}
        for one in decisions:
            key, output = one.sample.key, "" if one.reject else step.output(one.sample, one.within)
            wanted.add(output)
            if one.reject or key in plan.stale or before.get(output) != key:
                changed[key] = one
        self._ledger.forget(step.name, changed.keys() | plan.gone)
        self._remove(step, (plan.stray | before.keys()) - wanted)
        outcomes = [work.settled(one, sources[key]) for key, one in changed.items()]
        for outcome in outcomes:
            if outcome.output:
                source = changed[outcome.key].sample.file
                files.link(source, self._processed / outcome.output)
        for name, text in step.describe(decisions).items():
            files.write(self._processed / step.folder / name, text)
        os.sync()
        self._ledger.record(step.name, outcomes)


def _summary(step: Step, kept: int, rejected: dict[str, int], errors: int) -> str:
    dropped = sum(rejected.values())
    line = f"{step.name}: {kept + dropped + errors:,} in, {kept:,} kept, {dropped:,} rejected"
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in rejected.items())
    return line + (f" ({reasons})" if reasons else "") + (f", {errors:,} error" if errors else "")


def _is_full(error: Exception) -> bool:
    """Whether the disk takes no more."""
    return isinstance(error, OSError) and error.errno in NO_ROOM
