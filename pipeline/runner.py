"""Bring a stage's folder up to date with the one before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile

from pipeline import files
from pipeline.executors import Executor, Lost
from pipeline.ledger import Ledger
from pipeline.messages import announcement, log_error, room_needed, summary
from pipeline.plan import Plan, Planner
from pipeline.progress import progress
from pipeline.row_batch import RowBatch
from pipeline.sample import Outcome, Sample
from pipeline.step import Step
from pipeline.store import Place, place
from pipeline.trouble import Trouble
from pipeline.whole_set import decide
from pipeline.work import Route, Task, Work
from pipeline.workbench import Workbench


class Runner:
    """Brings steps up to date in order. Says what it does through `say`."""

    def __init__(
        self,
        raw: Place,
        workbench: Workbench,
        ledger: Ledger,
        executor: Executor,
        say: Callable[[str], None] = print,
        follow_links: bool = False,
    ) -> None:
        self.planner = Planner(raw, workbench, ledger, follow_links)
        self._processed = workbench.processed
        self._workbench = workbench
        self._ledger = ledger
        self._executor = executor
        self._say = say
        self._worked: set[str] = set()  # steps that have new rows
        # Keys by step that failed in this command; not tried again before the next one.
        self._failed: dict[str, set[str]] = defaultdict(set)

    def run(self, step: Step, after: Sequence[Step] = ()) -> int:
        """Bring one step up to date; returns how many of its pictures are in error.

        New pictures go through the later picture steps in `after` in the same worker, so each is
        decoded once. Whole-set steps are skipped on the way. What they drop later is removed from
        the later steps when their turn comes. Raises Trouble if the disk is full.
        """
        plan = self.planner.plan(step).without(self._failed[step.name])
        if changes := announcement(step, plan, self._ledger):
            self._say(changes)
        remarks: list[str] = []
        try:
            if not plan.empty:
                if step.whole_set:
                    remarks = decide(step, plan, self.planner, self._ledger, self._workbench)
                else:
                    self._process(step, plan, after)
            self._ledger.set_made_with(step.name, step.settings())
        except OSError as error:
            if not files.is_full(error):
                raise
            need = room_needed(step, plan, self._ledger, self._workbench.folder)
            raise Trouble(
                f"cannot write to {self._processed} ({error.strerror}): {need}; make room, then "
                "run the same command again; it goes on from here"
            ) from error
        self._workbench.save()
        idle = plan.empty and step.name not in self._worked
        self._say(summary(step, self._ledger) + (" (up to date)" if idle else ""))
        for remark in remarks:
            self._say(files.shown(f"{step.name}: {remark}"))
        return self._ledger.counts(step.name)[2]

    def _process(self, step: Step, plan: Plan, after: Sequence[Step]) -> None:
        """Process a picture step: clear what is outdated, then send each picture to be done
        through the stages.
        """
        self._ledger.forget(step.name, plan.todo.keys() | plan.gone)
        self._workbench.save()
        files.remove(self._processed, step.folder, plan.stray)
        later = [other for other in after if not other.whole_set]
        works = [Work(step, self._processed, plan.fingerprint)]
        works += [Work(other, self._processed, other.fingerprint()) for other in later]
        results = self._results(Route(tuple(works)), plan, self._stage_counts(step, plan, after))
        title = " … ".join([step.name, *(other.name for other in later[-1:])])
        rejected = 0
        with (
            RowBatch(self._ledger, self._workbench) as batch,
            progress(results, desc=title, unit=" pictures", total=len(plan.todo)) as bar,
        ):
            bar.set_postfix(rejected=rejected, refresh=False)
            for rows in bar:
                batch.add(rows)
                for name, row in rows.items():
                    self._note(name, row)
                    if row.verdict == "rejected":
                        rejected += 1
                        bar.set_postfix(rejected=rejected, refresh=False)

    def _note(self, name: str, row: Outcome) -> None:
        """Remember that a step has new rows, and which pictures failed; log an error."""
        self._worked.add(name)
        if row.verdict == "error":
            self._failed[name].add(row.key)
            log_error(self._workbench.errors, name, row)

    def _stage_counts(self, step: Step, plan: Plan, after: Sequence[Step]) -> dict[str, int]:
        """How many stages of the route each picture goes through.

        A picture stops before the first later step that already has a row for it. A copy of
        another new picture stops before the first whole-set step, which will probably drop it.
        """
        later = [other for other in after if not other.whole_set]
        known = [self._ledger.keys(other.name) for other in later]
        before_whole_set = sum(1 for _ in takewhile(lambda other: not other.whole_set, after))
        copies = self.planner.copies(step, plan) if before_whole_set < len(later) else set()
        stages: dict[str, int] = {}
        for key in plan.todo:
            most = before_whole_set if key in copies else len(later)
            stages[key] = 1 + next((place for place in range(most) if key in known[place]), most)
        return stages

    def _results(
        self, route: Route, plan: Plan, stages: dict[str, int]
    ) -> Iterator[dict[str, Outcome]]:
        """Rows by stage name, picture by picture; the executor does the work.

        If a worker was lost over a picture, that picture goes once more through the stages before
        the one at fault, so that each of them gets its row.
        """
        first = route.works[0]
        for found in self.planner.refused(first.step, plan):
            sample = Sample(found.key, found.label, place(found.path))
            yield {first.step.name: first.rejected_row(sample, found.stamp, found.refusal, {})}
        tasks: Iterable[Task] = (
            Task(sample, plan.todo[sample.key], stages[sample.key])
            for sample in self.planner.samples(first.step, plan.todo)
        )
        while tasks:
            lost: list[Task] = []
            for task, rows in self._executor.map(route, tasks):
                if isinstance(rows, Lost):
                    lost.append(task._replace(lost=rows))
                elif isinstance(rows, Exception):
                    raise rows
                else:
                    yield rows
            tasks = lost
