"""The model card: README.md of a run's folder, as model hubs show it. card.md is its text."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

from pipeline import files
from stages.model.description import Description, read_description
from stages.training.intervals import wilson

Counts = Mapping[str, Mapping[str, int]]
"""Pictures by split and label."""
Figures = Mapping[str, Mapping[str, Any]]
"""Metrics, as dictionaries, by the pictures that they were measured on."""

# Nothing of the user's stands in here: YAML has too many ways to read a name.
FRONT_MATTER = """---
license: other
license_name: see-licence-below
license_link: README.md
library_name: lip-expression
pipeline_tag: image-classification
tags:
- image-classification
- facial-expression
- safetensors
metrics:
- accuracy
- f1
---
"""
LANDMARKS = {
    "dlib": """
The mouth is found by FaceMesh (Apache 2.0) and by dlib's 68-point landmark model, which was trained
on iBUG 300-W. The licence of iBUG 300-W **excludes commercial use**: of that model, and so of this
chain as a whole.
""",
    "mesh": """
The mouth is found by FaceMesh (Apache 2.0) alone, which may be used commercially. dlib's 68-point
model, whose licence excludes that, was not used.
""",
}
CROPS = {
    "lips": "squares around the mouth, as in processed/dataset",
    "face": "squares around the face, as in processed/dataset",
    "whole": "whole pictures that are square",
}
CHOICES = {
    True: """Validation chose the epoch whose weights are kept, so its figures flatter a
  little; those of the test pictures do not.""",
    False: """The last weights are kept: validation did not choose them. It chose the
  temperature, so its loss and calibration error flatter a little.""",
}
"""What validation chose, by whether the recipe chooses an epoch."""
REGIONS = {"lips": "the mouth", "face": "the face", "whole": "the whole picture"}


def write(folder: Path, counts: Counts, more: Figures | None = None) -> None:
    """README.md of a run's folder, from its best.json and evaluation.json.

    `more` are figures on other pictures than the data set's.
    """
    description = read_description(folder / "best.json")
    judged = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    files.write(folder / "README.md", card(description, judged | (more or {}), counts))


def card(description: Description, judged: Figures, counts: Counts) -> str:
    """The card's Markdown."""
    template = Template(Path(__file__).with_name("card.md").read_text(encoding="utf-8"))
    return template.substitute(
        front_matter=FRONT_MATTER,
        labels=", ".join(map(plain, description.labels)),
        region=REGIONS[description.region],
        crop=CROPS[description.region],
        model=plain(description.recipe.model),
        size=description.recipe.input_size,
        side=description.side,
        temperature=f"{description.temperature:g}",
        choice=CHOICES[description.recipe.chooses_epoch],
        data=_data(description.labels, counts),
        fingerprint=plain(description.data),
        figures="\n".join(_metrics(name, metrics) for name, metrics in judged.items()),
        landmarks=_landmarks(description),
        stages=_stages(description),
        training=_training(description),
        versions=_table(["package", "version"], description.versions.items()),
    )


def plain(text: object) -> str:
    r"""A value as text on one line that Markdown, HTML and tables leave alone.

    >>> print(plain("<b> *a*|www.b"))
    &lt;b&gt; \*a\*\|www\.b
    """
    printable = (" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in str(text))
    marked = re.sub(r"[!#$*:@\[\]\\^_`{|}~]|\.(?=[^\W\d])", r"\\\g<0>", "".join(printable))
    return html.escape(marked, quote=False)


def _landmarks(description: Description) -> str:
    """What the landmark model's licence allows. Settings of old models do not name the model."""
    if "lips" not in description.stages:
        return ""
    return LANDMARKS[description.stages["lips"].get("landmarks", "dlib")]


def _data(labels: Sequence[str], counts: Counts) -> str:
    rows = [[label, *(f"{split.get(label, 0):,}" for split in counts.values())] for label in labels]
    return _table(["label", *counts], rows)


def _metrics(name: str, metrics: Mapping[str, Any]) -> str:
    rows = []
    for place, (label, recall) in enumerate(metrics["recall"].items()):
        row = metrics["confusion"][place]
        interval = _interval(wilson(row[place], sum(row))) if sum(row) else "no pictures"
        rows.append([label, f"{metrics['precision'][label]:.3f}", f"{recall:.3f}", interval])
    absent = ", ".join(map(plain, metrics.get("absent", [])))
    return (
        f"## Figures on {plain(name)}\n\n"
        f"Accuracy {metrics['accuracy']:.1%} (95%: {_interval(metrics['interval'])}) of "
        f"{metrics['count']:,} pictures, macro F1 {metrics['macro_f1']:.3f}, loss "
        f"{metrics['loss']:.3f}, calibration error {metrics['ece']:.3f}.\n\n"
        + (f"There are no pictures of {absent}: the figures say nothing of it.\n\n" * bool(absent))
        + _table(["label", "precision", "recall", "recall, 95%"], rows)
    )


def _stages(description: Description) -> str:
    rows = [
        [stage, name, value]
        for stage, settings in description.stages.items()
        for name, value in settings.items()
    ]
    return _table(["stage", "setting", "value"], rows)


def _training(description: Description) -> str:
    recipe = asdict(description.recipe)
    if recipe["weights"] not in ("none", "DEFAULT"):
        recipe["weights"] = Path(recipe["weights"]).name  # where the file lay is nobody's business
    return _table(["setting", "value"], [*recipe.items(), ("seed", description.seed)])


def _interval(interval: Sequence[float]) -> str:
    low, high = interval
    return f"{low:.1%} to {high:.1%}"


def _table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header)]
    lines += [[plain(value) for value in row] for row in rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
