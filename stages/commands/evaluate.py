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
from tqdm import tqdm

from pipeline import files
from pipeline.executors import in_order
from pipeline.executors.serial import Serial
from pipeline.trouble import Trouble, Usage
from stages.model import card as model_card
from stages.model import networks
from stages.model.model_file import Description
from stages.predict.chain import Chain
from stages.predict.judging import Asked, Cut, Judged, in_folder, judge
from stages.predict.mistakes import sheet, worst

if TYPE_CHECKING:
    from pipeline.context import Context


@dataclass(frozen=True)
class Evaluate:
    """Judge a model on labelled pictures: metrics, confusion matrix, worst mistakes."""

    model: Path = Path()
    """A run's folder, a .safetensors or .onnx file; unset takes the newest in processed/runs/."""
    data: Path = Path()
    """A folder for each label, or such folders in train/, val/ and test/; unset is the data set."""
    crops: bool = False
    """The pictures in --data are crops already; else each goes the way of the training pictures."""
    group_by: str = ""
    """Regular expression on paths; the accuracy of each first group (person) is told too."""
    output: Path = Path()
    """Where the results go; unset is evaluation/ in the run's folder."""

    def run(self, context: Context) -> int:
        """Write evaluation.json, confusion.png and mistakes.png; 1 where a picture failed."""
        from stages.training.repeat import group_of

        group_of("", self.group_by)  # a bad expression is told before the work
        asked = self._asked(context)
        model = networks.chosen(self.model, context.processed)
        network = networks.load(model)
        _compare_labels(asked, network.description.labels, self._data(context))
        cut, executor = self._cut(network.description), context.executor
        if cut.chain is None:
            executor = Serial()
        results = in_order(executor, cut, asked)
        judged = judge(tqdm(results, "evaluate", len(asked), unit=" pictures"), network)
        folder = model if model.is_dir() else model.parent
        output = self.output if self.output != Path() else folder / "evaluation"
        figures = self._write(judged, network.description.labels, output)
        if model.is_dir() and (folder / "run.json").exists():  # other files have no card
            other = {f"{self.data.resolve().name}, {split}": one for split, one in figures.items()}
            model_card.write(folder, other if self.data != Path() else {})
        return int(any("error" in one.unanswered for one in judged.values()))

    def _asked(self, context: Context) -> list[Asked]:
        """The pictures to judge on. Raises Usage where there are none."""
        if self.data != Path():
            if not self.data.is_dir():
                raise Usage(f"--data {self.data} is no folder")
            asked = in_folder(self.data, context.settings.common.follow_links)
        elif self.crops:
            raise Usage("--crops says what --data holds: give --data too")
        else:
            asked = _data_set(context)
        if not asked:
            raise Usage(f"{self._data(context)} holds no pictures to judge by")
        return asked

    def _data(self, context: Context) -> Path:
        return self.data if self.data != Path() else context.processed / "dataset"

    def _cut(self, description: Description) -> Cut:
        if self.data == Path():
            return Cut(description.side)
        chain = Chain.of(description)
        return Cut(description.side, replace(chain, faces=None, crop=None) if self.crops else chain)

    def _write(
        self, judged: Mapping[str, Judged], labels: Sequence[str], output: Path
    ) -> dict[str, dict[str, Any]]:
        """All files, and what is in them in short; returns the metrics of each split.

        Raises Trouble where no picture got an answer.
        """
        from stages.training.metrics import table

        figures: dict[str, dict[str, Any]] = {}
        for split, one in judged.items():
            if one.keys:
                metrics = one.metrics(labels)
                print(f"{split}: {table(metrics)}")
                figures[split] = asdict(metrics)
                if self.group_by:
                    figures[split]["groups"] = _groups(one, self.group_by)
        said = {
            split: {"unanswered": one.unanswered} | figures.get(split, {})
            for split, one in judged.items()
        }
        files.write(output / "evaluation.json", json.dumps(said, indent=2, ensure_ascii=False))
        reasons = _reasons(judged)
        if reasons:
            print(f"evaluate: without an answer: {reasons} (files in evaluation.json)")
        if not figures:
            raise Trouble(f"no picture got an answer, so there is nothing to judge: {reasons}")
        confusion = np.sum([one["confusion"] for one in figures.values()], axis=0)
        _draw(judged, confusion.tolist(), labels, output)
        print(f"evaluate: evaluation.json and pictures in {output}")
        return figures


def _reasons(judged: Mapping[str, Judged]) -> str:
    """Why pictures have no answer, the most frequent first."""
    reasons: Counter[str] = Counter()
    for one in judged.values():
        reasons.update({reason: len(keys) for reason, keys in one.unanswered.items()})
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())


def _data_set(context: Context) -> list[Asked]:
    """The crops of the processed data set's val and test."""
    root = context.processed / "dataset"
    asked = [
        Asked(sample, sample.file.relative_to(root).parts[0])
        for sample in context.ledger.samples("split", context.processed)
    ]
    return [one for one in asked if one.split in ("val", "test")]


def _compare_labels(asked: Sequence[Asked], known: Sequence[str], data: Path) -> None:
    """Raise Trouble where pictures have a label that the model cannot give."""
    found = sorted({one.sample.label for one in asked if not one.refusal})
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
    """Pictures and accuracy of each group, the worst first; a line of it is printed."""
    from stages.training.repeat import group_of

    right: dict[str, list[bool]] = {}
    for key, true, shares in zip(judged.keys, judged.classes, judged.shares, strict=True):
        right.setdefault(group_of(key, group_by), []).append(int(shares.argmax()) == true)
    groups = {
        name: {"count": len(ones), "accuracy": sum(ones) / len(ones)}
        for name, ones in sorted(right.items(), key=lambda one: (sum(one[1]) / len(one[1]), one))
    }
    worst_name, worst_one = next(iter(groups.items()))
    print(
        f"evaluate: {len(groups):,} groups, accuracy {worst_one['accuracy']:.1%} in the worst "
        f"({worst_name}, of {worst_one['count']:,})"
    )
    return groups


def _draw(
    judged: Mapping[str, Judged], confusion: list[list[int]], labels: Sequence[str], output: Path
) -> None:
    """Confusion matrix and worst mistakes of all splits together, as pictures."""
    from pipeline.pictures import encode_png
    from stages.training.record import confusion_figure

    picture = io.BytesIO()
    confusion_figure(confusion, list(labels)).savefig(picture, dpi=110)
    files.write(output / "confusion.png", picture.getvalue())
    mistakes = worst([mistake for one in judged.values() for mistake in one.mistakes])
    if mistakes:
        files.write(output / "mistakes.png", encode_png(sheet(mistakes, labels)))
    else:
        (output / "mistakes.png").unlink(missing_ok=True)
