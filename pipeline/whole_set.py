"""Bring the folder of a whole-set stage up to date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from pipeline import files
from pipeline.ledger import Ledger
from pipeline.plan import Plan, Planner
from pipeline.sample import Decision
from pipeline.step import Step
from pipeline.store import Place
from pipeline.work import Work
from pipeline.workbench import Workbench


def decide(
    step: Step, plan: Plan, planner: Planner, ledger: Ledger, workbench: Workbench
) -> list[str]:
    """Let the stage judge all its pictures, and update its folder where decisions changed.

    Rows that change are deleted first. Then the files are updated, and at last the new rows are
    written in one transaction. If the program is killed in between, the missing rows make the next
    run decide again. What the stage remembers is written together with the new rows, so the next
    run comes to the same decisions. Returns the stage's remarks.
    """
    processed, memory = workbench.processed, step.memory()
    earlier = ledger.remembered(memory) if memory else {}
    samples = [sample.with_only(step.needs()) for sample in planner.samples(step)]
    decisions = sorted(step.decide(samples, earlier), key=lambda decision: decision.sample.key)
    work = Work(step, processed, plan.fingerprint)
    sources, outdated = _changed(work, plan, planner, ledger, decisions)
    sources |= plan.todo
    changed = [decision for decision in decisions if decision.sample.key in sources]
    ledger.forget(step.name, chain(sources, plan.gone))
    workbench.save()
    outdated |= plan.stray
    outdated.difference_update(output for _, output in _outputs(work, changed))
    files.remove(processed, step.folder, outdated)
    if step.keeps_tree:
        files.link_all(processed, _outputs(work, changed))
    step.pack(processed, decisions)
    for name, text in step.describe(decisions).items():
        files.write(processed / step.folder / name, text)
    workbench.settle()
    rows = (
        work.decision_row(decision, sources[decision.sample.key])
        for decision in _with_all_facts(step, planner, changed)
    )
    new = {
        decision.sample.key: decision.within
        for decision in (decisions if memory else ())
        if earlier.get(decision.sample.key) != decision.within
    }
    ledger.record(step.name, rows, memory or "", new)
    return list(step.remarks(decisions))


def _outputs(work: Work, decisions: Iterable[Decision]) -> Iterator[tuple[Place, str]]:
    """Files of the kept pictures as the stage before has them, and the outputs."""
    for decision in decisions:
        if decision.reject is None:
            yield decision.sample.file, work.output(decision)


def _changed(
    work: Work, plan: Plan, planner: Planner, ledger: Ledger, decisions: Sequence[Decision]
) -> tuple[dict[str, str], set[str]]:
    """Of the pictures that are not to do, those on which the decision is another now: their
    sources by key, and the files that they leave behind.
    """
    sources: dict[str, str] = {}
    outdated: set[str] = set()
    settled = [decision for decision in decisions if decision.sample.key not in plan.todo]
    before = (
        row
        for row in ledger.outcomes(work.step.name)
        if row.key not in plan.todo and row.key not in plan.gone
    )
    for decision, old in zip(_with_all_facts(work.step, planner, settled), before, strict=True):
        row = work.decision_row(decision, old.source)
        if row != old:
            sources[row.key] = row.source
            if old.output != row.output and work.step.owns(old.output):
                outdated.add(old.output)
    return sources, outdated


def _with_all_facts(
    step: Step, planner: Planner, decisions: Sequence[Decision]
) -> Iterator[Decision]:
    """The decisions, sorted by key, with the facts that the stage did not need."""
    keys = {decision.sample.key for decision in decisions}
    samples = planner.samples(step, keys) if keys else ()
    for decision, sample in zip(decisions, samples, strict=True):
        whole = sample.with_facts(**decision.sample.facts)
        yield replace(decision, sample=whole)
