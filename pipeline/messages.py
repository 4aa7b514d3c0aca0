"""What a run prints and logs: changed settings, counts of pictures, disk space, errors."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline import files
from pipeline.ledger import Ledger
from pipeline.plan import Plan
from pipeline.sample import Outcome
from pipeline.step import Step


def announcement(step: Step, plan: Plan, ledger: Ledger) -> str:
    """Why pictures are redone: the settings that changed, or else that the program or its models
    did. It is "" if nothing is redone.
    """
    if not plan.to_remake:
        return ""
    before = ledger.made_with(step.name)
    changes = ", ".join(
        f"{step.name}.{name} {before[name]} → {value}"
        for name, value in step.settings().items()
        if name in before and before[name] != value
    )
    changes = changes or f"{step.name} or its models differ in this version of the program"
    return f"{changes}: {len(plan.to_remake):,} pictures will be redone"


def summary(step: Step, ledger: Ledger) -> str:
    """Counts of one stage in one line: in, kept, rejected by reason, and errors."""
    kept, rejected, errors = ledger.counts(step.name)
    dropped = sum(rejected.values())
    line = f"{step.name}: {kept + dropped + errors:,} in, {kept:,} kept, {dropped:,} rejected"
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in rejected.items())
    return line + (f" ({reasons})" if reasons else "") + (f", {errors:,} error" if errors else "")


def room_needed(step: Step, plan: Plan, ledger: Ledger, processed: Path) -> str:
    """How much disk space is free, and how much is missing if the average size stays the same."""
    free = shutil.disk_usage(processed).free / 1e6
    left = len(plan.todo.keys() - ledger.keys(step.name))
    made = (processed / output for output, _ in ledger.outputs(step.name))
    sizes = [path.stat().st_size for path in made if path.exists()]
    missing = left * sum(sizes) / max(1, len(sizes)) / 1e6 - free
    about = f", about {missing:,.1f} MB too little" if missing > 0 else ""
    return f"{free:,.1f} MB are free{about} for the {left:,} pictures that {step.name} has to do"


def log_error(path: Path, stage: str, row: Outcome) -> None:
    """Add a picture's traceback to the log of errors."""
    with open(path, "a", encoding="utf-8") as log:
        log.write(f"{stage}: {files.shown(row.key, but='')}\n{files.shown(row.detail)}\n")
