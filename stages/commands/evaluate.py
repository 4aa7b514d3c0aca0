"""The command that judges a saved model on labelled pictures."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import files
from pipeline.executors import in_order
from pipeline.executors.serial import Serial
from pipeline.progress import progress
from pipeline.store import Place
from pipeline.trouble import Trouble, Usage
from stages.commands.model_choice import resolve_model
from stages.model import card, networks
from stages.model.description import Description
from stages.partition.given import side_of
from stages.partition.groups import compiled, group_of
from stages.predict.chain import Chain
from stages.predict.judging import CropCutter, Judged, LabelledPicture, in_folder, judge
from stages.predict.mistakes import sheet, worst

if TYPE_CHECKING:
    from pipeline.context import Context


@dataclass(frozen=True)
class Evaluate:
    """Judge a model on labelled pictures: metrics, confusion matrix, worst mistakes."""

    model: Path | None = None
    """A run's folder, a .safetensors or .onnx file; unset takes the newest in processed/runs/."""
    data: Path | None = None
    """A folder for each label, or such folders in train/, val/ and test/; unset is the data set."""
    crops: bool = False
    """The pictures in --data are crops already; else each goes the way of the training pictures."""
    group_by: str = ""
    """Regular expression on paths; the accuracy of each first group (person) is told too."""
    output: Path | None = None
    """Where the results go; unset is evaluation/ in the run's folder."""

    def __post_init__(self) -> None:
        compiled(self.group_by)

    def run(self, context: Context) -> int:
        """Write evaluation.json, confusion.png and mistakes.png; 1 where a picture failed."""
        pictures = self._pictures(context)
        model = resolve_model(self.model, context.workbench)
        network = networks.load(model)
        data = self.data or context.processed / "dataset"
        _compare_labels(pictures, network.description.labels, data)
        cutter = self._cutter(network.description)
        executor = context.executor if cutter.chain else Serial()
        results = in_order(executor, cutter, pictures)
        bar = progress(results, desc="evaluate", total=len(pictures), unit=" pictures")
        judged = judge(bar, network)
        folder = model if model.is_dir() else model.parent
        output = self.output or folder / "evaluation"
        figures = self._write(judged, network.description.labels, output)
        if model.is_dir() and (folder / "run.json").exists():  # other files have no card
            self._write_card(folder, figures)
        context.workbench.put(folder)
        print(f"evaluate: evaluation.json and pictures in {context.workbench.place_of(output)}")
        return int(any("error" in answers.unanswered for answers in judged.values()))

    def _pictures(self, context: Context) -> list[LabelledPicture]:
        """The pictures to judge on. Raises Usage where there are none."""
        if self.data:
            if not self.data.is_dir():
                raise Usage(f"--data {self.data} is not a folder")
            pictures = in_folder(self.data, context.settings.common.follow_links)
        elif self.crops:
            raise Usage("--crops says what --data holds: give --data too")
        else:
            pictures = _data_set(context)
        if not pictures:
            data = self.data or context.processed / "dataset"
            raise Usage(f"{data} holds no pictures to judge by")
        return pictures

    def _cutter(self, description: Description) -> CropCutter:
        if self.data is None:
            return CropCutter(description.side)
        chain = Chain.of(description)
        if self.crops:
            chain = replace(chain, faces=None, crop=None)
        return CropCutter(description.side, chain)

    def _write_card(self, folder: Path, figures: Mapping[str, Mapping[str, Any]]) -> None:
        counts = json.loads((folder / "run.json").read_text(encoding="utf-8")).get("counts", {})
        name = self.data.resolve().name if self.data else ""
        other = {f"{name}, {split}": of_split for split, of_split in figures.items()}
        card.write(folder, counts, other if self.data else {})

    def _write(
        self, judged: Mapping[str, Judged], labels: Sequence[str], output: Path
    ) -> dict[str, dict[str, Any]]:
        """Write all files and print the figures; returns the metrics of each split.

        Raises Trouble where no picture got an answer.
        """
        from stages.training.metrics import table

        figures: dict[str, dict[str, Any]] = {}
        for split, answers in judged.items():
            if answers.keys:
                metrics = answers.metrics(labels)
                print(f"{split}: {table(metrics)}")
                figures[split] = asdict(metrics)
                if self.group_by:
                    figures[split]["groups"] = _groups(answers, self.group_by)
        written = {
            split: {"unanswered": answers.unanswered} | figures.get(split, {})
            for split, answers in judged.items()
        }
        files.write(output / "evaluation.json", json.dumps(written, indent=2, ensure_ascii=False))
        reasons = _reasons(judged)
        if reasons:
            print(f"evaluate: without an answer: {reasons} (files in evaluation.json)")
        if not figures:
            raise Trouble(f"no picture got an answer, so there is nothing to judge: {reasons}")
        confusion = np.sum([of_split["confusion"] for of_split in figures.values()], axis=0)
        _draw(judged, confusion.tolist(), labels, output)
        return figures


def _reasons(judged: Mapping[str, Judged]) -> str:
    """Why pictures have no answer, the most frequent reason first."""
    reasons: Counter[str] = Counter()
    for answers in judged.values():
        reasons.update({reason: len(keys) for reason, keys in answers.unanswered.items()})
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())


def _data_set(context: Context) -> list[LabelledPicture]:
    """The crops of the processed data set's val and test."""
    pictures = [
        LabelledPicture(sample, side_of(sample.facts))
        for sample in context.ledger.samples("split", context.processed)
    ]
    return [picture for picture in pictures if picture.split in ("val", "test")]


def _compare_labels(pictures: Sequence[LabelledPicture], known: Sequence[str], data: Place) -> None:
    """Raise Trouble where pictures have a label that the model cannot give."""
    found = sorted({picture.sample.label for picture in pictures if not picture.refusal})
    strange = [label for label in found if label not in known]
    if strange:
        raise Trouble(
            f"{data} has label(s) {', '.join(strange)}, which the model does not know; it knows "
            f"{', '.join(known)}: rename or move those folders, or train on that data"
        )
    missing = [label for label in known if label not in found]
    if missing:
        print(f"evaluate: {data} has no pictures of {', '.join(missing)}")


def _groups(judged: Judged, group_by: str) -> dict[str, dict[str, float]]:
    """Pictures and accuracy of each group, the worst first; the worst is printed."""
    expression = compiled(group_by)
    right: dict[str, list[bool]] = {}
    for key, true, shares in zip(judged.keys, judged.classes, judged.shares, strict=True):
        right.setdefault(group_of(key, expression) or key, []).append(int(shares.argmax()) == true)
    accuracy = {name: sum(answers) / len(answers) for name, answers in right.items()}
    groups = {
        name: {"count": len(right[name]), "accuracy": accuracy[name]}
        for name in sorted(right, key=lambda name: (accuracy[name], name))
    }
    name, worst_group = next(iter(groups.items()))
    print(
        f"evaluate: {len(groups):,} groups, accuracy {worst_group['accuracy']:.1%} in the worst "
        f"({name}, of {worst_group['count']:,})"
    )
    return groups


def _draw(
    judged: Mapping[str, Judged], confusion: list[list[int]], labels: Sequence[str], output: Path
) -> None:
    """Confusion matrix and worst mistakes of all splits together, as pictures."""
    from pipeline.pictures import encode_png
    from stages.training.figures import DOTS, confusion_figure

    picture = io.BytesIO()
    confusion_figure(confusion, labels).savefig(picture, dpi=DOTS)
    files.write(output / "confusion.png", picture.getvalue())
    mistakes = worst([mistake for answers in judged.values() for mistake in answers.mistakes])
    if mistakes:
        files.write(output / "mistakes.png", encode_png(sheet(mistakes, labels)))
    else:
        (output / "mistakes.png").unlink(missing_ok=True)
