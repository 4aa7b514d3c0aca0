"""Write the report: one page that shows what happened to the pictures."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline import decisions, files
from pipeline.labels import SPLITS
from pipeline.store import Place
from pipeline.trouble import Trouble
from stages.commands.model_choice import newest_run
from stages.partition.given import side_of

if TYPE_CHECKING:
    from markupsafe import Markup

    from pipeline.context import Context
    from stages.report.gather import Record, Shown
    from stages.report.judged import JudgedRun
    from stages.report.suspects import Opinion, Suspicion

SECTIONS = {
    "funnel": "What came in, what came out",
    "dropped": "What was dropped, and why",
    "pairs": "Copies, conflicts and groups",
    "crops": "The data set by label",
    "suspects": "Labels that are likely wrong",
}
MEASURES = {
    "width": "width of the picture in pixels",
    "mouth": "width of the mouth in pixels",
    "sharpness": "sharpness",
    "padded": "share of the crop that lies outside the picture",
}
"""Facts that are drawn, with their meaning and unit."""


@dataclass(frozen=True)
class Report:
    """Write processed/report.html: what came in, what was dropped and why, how the model does."""

    most: int = 15000
    """Crops that are judged for likely mistakes; of more, as many are drawn evenly."""

    def run(self, context: Context) -> int:
        from stages.report.gather import SUSPECTS, Record
        from stages.report.page import render
        from stages.report.reasons import REASONS

        record = Record(context.ledger, context.steps, context.processed)
        funnel, labels = record.funnel(), record.labels()
        if not funnel[0].came_in:
            raise Trouble(f"{context.processed} holds no record yet: run `make split` first")
        suspicion, shown = self._suspects(record)
        suspects = [_with_doubt(shown[one.place], one) for one in suspicion.suspects[:SUSPECTS]]
        doubts = {
            shown[one.place].key: {"confidence": round(one.confidence, 4), "likely": one.likely}
            for one in suspicion.judged
        }
        files.write(context.processed / "suspects.json", json.dumps(doubts))
        run, current = _newest_run(context)
        counts = {f"{stage.name} kept": stage.kept for stage in funnel}
        counts |= {"likely wrong labels": len(suspicion.suspects)}
        path = context.processed / "report.html"
        page = render(
            {
                "name": str(context.settings.common.raw),
                "sections": [*SECTIONS.items(), *([("model", "The model")] if run else [])],
                "changes": _changes(context.processed / "report.json", counts),
                "funnel": funnel,
                "decisions": decisions.counts(context.processed / decisions.NAME),
                "labels": labels,
                "columns": ["raw", "crops", *_sides(labels)],
                "dropped": record.dropped(),
                "sentences": REASONS,
                "pairs": record.pairs(),
                "groups": record.groups(),
                "crops": record.sheet(),
                "plots": _plots(record),
                "suspicion": suspicion,
                "suspects": suspects,
                "run": run,
                "current": current,
                **_model_plots(run),
            }
        )
        files.write(path, page)
        files.write(context.processed / "report.json", json.dumps(counts, indent=2))
        print(f"report: {path} ({len(page) / 1e6:.1f} MB), open it in a browser")
        return 0

    def _suspects(self, record: Record) -> tuple[Suspicion, list[Shown]]:
        """Likely wrong labels, and the pictures that were judged for them."""
        from pipeline.pictures import decode
        from stages.report.suspects import find_suspects

        entries = record.some_crops(self.most)
        shown = [record.crop(entry) for entry, _ in entries]
        crops = [decode(picture.file.read_bytes()) for picture in shown if picture.file]
        groups = [str(facts.get("group", entry.key)) for entry, facts in entries]
        suspicion = find_suspects(crops, [entry.label for entry, _ in entries], groups)
        return suspicion, shown


def _with_doubt(picture: Shown, opinion: Opinion) -> Shown:
    doubt = f"{opinion.label}, more like {opinion.likely} ({1 - opinion.confidence:.0%})"
    return replace(picture, note=doubt)


def _newest_run(context: Context) -> tuple[JudgedRun | None, bool]:
    """The newest finished run on held-out crops, and whether it knows the present data set."""
    from stages.report.judged import judge_run

    try:
        folder = newest_run(context.workbench)
    except Trouble:
        return None, False
    plan = json.loads((folder / "run.json").read_text(encoding="utf-8"))["plan"]
    current = plan["data"] == context.ledger.fingerprint("split")
    held_out = [
        (side, sample.with_only(frozenset()))
        for sample in context.ledger.samples("split", context.processed)
        if (side := side_of(sample.facts)) != "train"
    ]
    return judge_run(folder, held_out), current


def _plots(record: Record) -> list[Markup]:
    """Who found the faces, and the measurements of the data set's pictures."""
    from stages.report.figures import bars, histogram

    detectors: Counter[str] = Counter()
    measured = {name: array("d") for name in MEASURES}
    for _, facts in record.crops():
        if "detector" in facts:
            detectors[facts["detector"]] += 1
        for name, values in measured.items():
            if isinstance(facts.get(name), int | float):
                values.append(facts[name])
    plots = [bars(detectors, "faces by detector")] if detectors else []
    return plots + [
        histogram(values, MEASURES[name]) for name, values in measured.items() if values
    ]


def _model_plots(run: JudgedRun | None) -> dict[str, Any]:
    from stages.report.figures import calibration, curves

    if run is None:
        return {}
    return {
        "curves": curves(run.epochs),
        "calibration": {
            split.split: calibration(split.confidences, split.right) for split in run.splits
        },
    }


def _sides(labels: dict[str, dict[str, int]]) -> list[str]:
    """The sides of the split that have pictures, in their usual order."""
    return [side for side in SPLITS if any(side in counts for counts in labels.values())]


def _changes(last: Place, counts: dict[str, int]) -> list[str]:
    """What is different from the counts that the last report left."""
    if not last.exists():
        return []
    before = json.loads(last.read_text(encoding="utf-8"))
    return [
        f"{name} {before[name]:,} → {count:,}"
        for name, count in counts.items()
        if name in before and before[name] != count
    ]
