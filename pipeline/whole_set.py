"""Bring the folder of a whole-set stage up to date."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from pipeline import files
from pipeline.ledger import Ledger, as_json, stamp
from pipeline.plan import Plan, Planner
from pipeline.sample import Decision
from pipeline.step import SetStage, Step
from pipeline.work import Work


def decide(
    step: Step, plan: Plan, planner: Planner, ledger: Ledger, processed: Path
) -> Iterable[str]:
    """Let the stage judge all its pictures, and change its folder where the decisions changed.

    Returns the stage's remarks on its decisions.

    Rows that change go first, then come the files, then the new rows in one transaction. After a
    kill in between, the missing rows make the next run decide again.
    """
    sources, before = planner.sources(step), ledger.outputs(step.name)
    known = ledger.kept(step.name)
    stage = cast(SetStage, step.stage)
    decisions = sorted(stage(list(planner.samples(step))), key=lambda made: made.sample.key)
    wanted: set[str] = set()
    changed: dict[str, Decision] = {}
    for decision in decisions:
        key, output = decision.sample.key, ""
        if decision.reject is None:
            output = step.output(decision.sample, decision.within)
            wanted.add(output)
        handed_on = stamp(decision.sample.digest, as_json(decision.sample.facts))
        same = before.get(output) == key and known[key] == handed_on
        if key in plan.stale or not same:
            changed[key] = decision
    ledger.forget(step.name, changed.keys() | plan.gone)
    files.remove(processed, step.folder, (plan.stray | before.keys()) - wanted)
    work = Work(step, processed, plan.fingerprint)
    rows = [work.settled(decision, sources[key]) for key, decision in changed.items()]
    for row in rows:
        if row.output:
            files.link(changed[row.key].sample.file, processed / row.output)
    for name, text in step.describe(decisions).items():
        files.write(processed / step.folder / name, text)
    os.sync()
    ledger.record(step.name, rows)
    return step.remarks(decisions)
