"""Bring the folder of a whole-set stage up to date."""

from __future__ import annotations

from pipeline import files
from pipeline.ledger import Ledger, as_json, stamp
from pipeline.plan import Plan, Planner
from pipeline.sample import Decision, Sample
from pipeline.step import Step
from pipeline.store import Place
from pipeline.work import Work
from pipeline.workbench import Workbench


def decide(
    step: Step,
    plan: Plan,
    planner: Planner,
    ledger: Ledger,
    processed: Place,
    workbench: Workbench,
) -> list[str]:
    """Let the stage judge all its pictures, and update its folder where decisions changed.

    Rows that change are deleted first. Then the files are updated, and at last the new rows are
    written in one transaction. If the program is killed in between, the missing rows make the next
    run decide again. What the stage remembers is written together with the new rows, so the next
    run comes to the same decisions. Returns the stage's remarks.
    """
    work = Work(step, processed, plan.fingerprint)
    sources, before = planner.sources(step), ledger.outputs(step.name)
    stamps, memory = ledger.kept(step.name), step.memory()
    earlier = ledger.remembered(memory) if memory else {}
    made = step.decide(list(planner.samples(step)), earlier)
    decisions = sorted(made, key=lambda decision: decision.sample.key)
    wanted: set[str] = set()
    changed: dict[str, Decision] = {}
    for decision in decisions:
        key, output = decision.sample.key, ""
        if decision.reject is None:
            output = work.output(decision)
            wanted.add(output)
        same = before.get(output) == key and stamps[key] == _handed_on(decision.sample)
        if key in plan.todo or not same:
            changed[key] = decision
    ledger.forget(step.name, changed.keys() | plan.gone)
    workbench.save()
    outdated = (plan.stray | set(filter(step.owns, before))) - wanted
    files.remove(processed, step.folder, outdated)
    rows = [work.decision_row(decision, sources[key]) for key, decision in changed.items()]
    if step.keeps_tree:
        files.link_all(
            (changed[row.key].sample.file, processed / row.output) for row in rows if row.output
        )
    step.pack(processed, decisions)
    for name, text in step.describe(decisions).items():
        files.write(processed / step.folder / name, text)
    workbench.settle()
    within = {decision.sample.key: decision.within for decision in decisions if memory}
    new = dict(within.items() - earlier.items())
    ledger.record(step.name, rows, memory or "", new)
    return list(step.remarks(decisions))


def _handed_on(sample: Sample) -> str:
    """The stamp of a picture as a whole-set stage hands it on."""
    return stamp(sample.digest, as_json(sample.facts))
