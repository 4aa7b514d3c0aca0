"""How many pictures each label has in the raw folder, as crops, and on each side of the split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.ledger import Ledger
from pipeline.plan import Planner
from pipeline.step import Step

Counts = dict[str, dict[str, int]]
"""By label: "raw", "crops", "train", "val", and "test" where any label has a test picture."""


def count_labels(steps: Sequence[Step], planner: Planner, ledger: Ledger) -> Counts:
    """Counts of every label, in order of name; an empty folder in raw/ is a label too.

    The last step is the split; crops are what it takes. Rows count as they are, up to date or not.
    """
    listing, split = planner.listing(), steps[-1]
    raw = Counter(file.label for file in listing.files)
    crops = ledger.labels(split.input).get("", {}) if split.input is not None else {}
    sides = ledger.labels(split.name)
    shown = ("train", "val", "test") if "test" in sides else ("train", "val")
    labels = sorted((listing.label_folders | raw.keys() | crops.keys()) - {""})
    return {
        label: {"raw": raw[label], "crops": crops.get(label, 0)}
        | {side: sides.get(side, {}).get(label, 0) for side in shown}
        for label in labels
    }


def as_table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """A line a label; there must be one."""
    width = max(12, *(len(label) + 2 for label in counts))
    columns = next(iter(counts.values())).keys()
    lines = ["label".ljust(width) + "".join(f"{column:>9}" for column in columns)]
    lines += [
        label.ljust(width) + "".join(f"{number:>9,}" for number in row.values())
        for label, row in counts.items()
    ]
    return "\n".join(lines)


def gaps(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What a person should know of a finished split: labels without pictures, by where they end."""
    empty = [label for label, row in counts.items() if not row["raw"]]
    lost = [label for label, row in counts.items() if row["raw"] and not row["crops"]]
    lines = [f"empty in the raw folder: {', '.join(empty)}"] if empty else []
    if lost:
        lines.append(f"no picture of {', '.join(lost)} was kept; status shows the reasons")
    for side in ("train", "val", "test"):
        missing = [label for label, row in counts.items() if row["crops"] and not row.get(side, 1)]
        present = any(row.get(side) for row in counts.values())
        if missing and present:
            lines.append(
                f"no {side} picture of {', '.join(missing)}; ImageFolder will number the labels "
                f"of {side} differently"
            )
    return lines
