"""What a person should know of the groups in a split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from pipeline.sample import Decision
from stages.partition.given import given_side


def group_remarks(decisions: Sequence[Decision]) -> list[str]:
    """Lines on the groups (fact `group`) that stay together, that do not, and that moved."""
    lines = []
    sides: dict[str, list[str]] = defaultdict(list)
    for decision in decisions:
        if name := decision.sample.facts.get("group", ""):
            sides[name].append(decision.within)
    whole = sorted(len(of) for of in sides.values() if len(set(of)) == 1 < len(of))
    if whole:
        lines.append(_stay_together(whole))
    if crossing := sum(len(set(of)) > 1 for of in sides.values()):
        lines.append(
            f"{_counted(crossing, 'group')} of pictures that look alike came in several of the "
            "folders train, val and test, and stay so; `check` lists the pictures"
        )
    came = Counter((given_side(decision.sample), decision.within) for decision in decisions)
    if moved := came["val", "train"] + came["test", "train"]:
        lines.append(
            f"{_counted(moved, 'picture')} that came as val or test went to train, because others "
            "of the same groups came elsewhere"
        )
    return lines


def _stay_together(sizes: Sequence[int]) -> str:
    """A sentence on groups of these sizes, the smallest first."""
    span = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
    if len(sizes) == 1:
        return f"1 group of {span} pictures stays on one side"
    return f"{len(sizes):,} groups of {span} pictures stay on one side each"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
