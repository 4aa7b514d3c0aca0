"""The command that shows the state of each stage and label."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import decisions, files
from pipeline.context import Context
from pipeline.label_counts import Counts, count_labels
from pipeline.label_counts import as_table as label_table
from pipeline.ledger import Ledger
from pipeline.plan import Planner
from pipeline.step import Step
from pipeline.trouble import Trouble


@dataclass(frozen=True)
class Status:
    """Show the state of each stage (in, kept, rejected, error, up to date) and of each label."""

    json: bool = False
    """Print JSON in place of the table."""

    def run(self, context: Context) -> int:
        entries = status(context.steps, context.runner.planner, context.ledger)
        labels = count_labels(context.steps, context.runner.planner, context.ledger)
        by_hand = decisions.counts(context.processed / decisions.NAME)
        if self.json:
            print(as_json(entries, labels, by_hand))
            return 0
        print(as_table(entries))
        if labels:
            print("\n" + files.shown(label_table(labels)))
        if by_hand:
            told = ", ".join(f"{count:,} {word}" for word, count in by_hand.items())
            print(f"\ndecided by hand: {told}")
        return 0


def status(steps: Sequence[Step], planner: Planner, ledger: Ledger) -> list[dict[str, Any]]:
    """One entry for each stage. It is up to date if it and all before it have nothing to do."""
    entries: list[dict[str, Any]] = []
    current = True
    for step in steps:
        kept, rejected, errors = ledger.counts(step.name)
        current = current and _up_to_date(step, planner)
        entries.append(
            {
                "name": step.name,
                "in": planner.count(step),
                "kept": kept,
                "rejected": rejected,
                "error": errors,
                "up_to_date": current,
            }
        )
    return entries


def as_json(entries: Sequence[dict[str, Any]], labels: Counts, by_hand: Mapping[str, int]) -> str:
    content: dict[str, Any] = {"stages": list(entries), "labels": labels}
    if by_hand:
        content["decisions"] = by_hand
    return json.dumps(content, indent=2, ensure_ascii=False)


def as_table(entries: Sequence[dict[str, Any]]) -> str:
    """The entries for a person: a line for each stage and for each reason."""
    lines = [f"{'stage':<12}{'in':>9}{'kept':>9}{'rejected':>10}{'error':>7}  up to date"]
    for entry in entries:
        rejected = entry["rejected"]
        lines.append(
            f"{entry['name']:<12}{entry['in']:>9,}{entry['kept']:>9,}"
            f"{sum(rejected.values()):>10,}{entry['error']:>7,}"
            f"  {'yes' if entry['up_to_date'] else 'no'}"
        )
        lines += [f"{'':<30}{count:>10,}  {reason}" for reason, count in rejected.items()]
    return "\n".join(lines)


def _up_to_date(step: Step, planner: Planner) -> bool:
    try:
        return planner.plan(step).empty
    except Trouble:  # a model file is missing: nothing can be up to date with it
        return False
