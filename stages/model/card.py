"""The model card: README.md of a run's folder, as model hubs show it."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import files
from stages.model import model_file

Counts = Mapping[str, Mapping[str, int]]
"""Pictures by split and label."""
Figures = Mapping[str, Mapping[str, Any]]
"""Metrics, as dictionaries, by what they were measured on."""

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
USE = """## How to use

The program that trained it finds the face, cuts it as the training pictures were cut, and answers:

```python
from pathlib import Path
from stages.predict.predictor import Predictor

predictor = Predictor("<this folder>")
answers = predictor(predictor.read(Path("photo.jpg").read_bytes()))
print(answers[0].text)
```

```
python -m pipeline predict --model <this folder> --input photo.jpg
python -m pipeline export --model <this folder>
```

The last line writes `model.onnx`, which takes N×S×S×3 uint8 RGB crops and holds all else.
"""
LIMITS = """## Limits

- It gives one of its labels to every crop, also to one that shows none of them.
- Val chose the epoch whose weights are kept, so its figures flatter a little; test's do not.
- People, cameras and light unlike those of its pictures are not judged by these figures.
- Faces are found from the front; a mouth that is turned away or covered is not seen. The cascade
  that finds them misses some faces more than others, those of dark-skinned people among them: what
  it missed was neither learned from nor judged.
"""
LICENCE = """## Licence

The licences of the training pictures decide what these weights may be used for.
"""
LANDMARKS = """
The mouth is found by a 68-point landmark model trained on iBUG 300-W, whose licence **excludes
commercial use**: of that model, and so of this chain as a whole.
"""


def write(folder: Path, more: Figures | None = None) -> None:
    """README.md of a finished run's folder, from its best.json, run.json and evaluation.json.

    `more` are figures on other pictures than the data set's.
    """
    description = model_file.read(folder / "best.json")
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    judged = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    files.write(
        folder / "README.md", card(description, judged | (more or {}), run.get("counts", {}))
    )


def card(description: model_file.Description, judged: Figures, counts: Counts) -> str:
    """The card's Markdown."""
    parts = [
        FRONT_MATTER,
        _about(description),
        USE,
        _data(description, counts),
        *(_metrics(name, metrics) for name, metrics in judged.items()),
        LIMITS,
        LICENCE + (LANDMARKS if "lips" in description.stages else ""),
        _settings(description),
    ]
    return "\n".join(parts)


def plain(text: object) -> str:
    r"""A value as text that Markdown, HTML and tables leave alone, on one line.

    >>> print(plain("<b> *a*|www.b"))
    &lt;b&gt; \*a\*\|www\.b
    """
    kept = (" " if unicodedata.category(one)[0] in "CZ" else one for one in str(text))
    marked = re.sub(r"[!#$*:@\[\]\\^_`{|}~]|\.(?=[^\W\d])", r"\\\g<0>", "".join(kept))
    return html.escape(marked, quote=False)


def _about(description: model_file.Description) -> str:
    labels = ", ".join(map(plain, description.labels))
    seen = {"lips": "the mouth", "face": "the face", "whole": "the whole picture"}
    size = description.recipe.input_size
    return (
        "# Expression classifier\n\n"
        f"Tells {labels} apart, by {seen[description.region]}. The network is "
        f"{plain(description.recipe.model)}; it sees {size}×{size} pixels, cut from crops of "
        f"{description.side}×{description.side}.\n"
    )


def _data(description: model_file.Description, counts: Counts) -> str:
    splits = list(counts)
    rows = [
        [label, *(f"{counts[split].get(label, 0):,}" for split in splits)]
        for label in description.labels
    ]
    table = _table(["label", *splits], rows)
    return f"## Data\n\n{table}\nFingerprint of the data set: `{plain(description.data)}`\n"


def _metrics(name: str, metrics: Mapping[str, Any]) -> str:
    from stages.training.metrics import wilson

    rows = []
    for place, (label, recall) in enumerate(metrics["recall"].items()):
        row = metrics["confusion"][place]
        interval = _interval(wilson(row[place], sum(row))) if sum(row) else "no pictures"
        rows.append([label, f"{metrics['precision'][label]:.3f}", f"{recall:.3f}", interval])
    return (
        f"## Figures on {plain(name)}\n\n"
        f"Accuracy {metrics['accuracy']:.1%} (95%: {_interval(metrics['interval'])}) of "
        f"{metrics['count']:,} pictures, macro F1 {metrics['macro_f1']:.3f}, loss "
        f"{metrics['loss']:.3f}, calibration error {metrics['ece']:.3f}.\n\n"
        + _table(["label", "precision", "recall", "recall, 95%"], rows)
    )


def _settings(description: model_file.Description) -> str:
    recipe = asdict(description.recipe)
    if recipe["weights"] not in ("none", "DEFAULT"):
        recipe["weights"] = Path(recipe["weights"]).name  # where it lay is nobody's business
    geometry = [
        [stage, name, value]
        for stage, settings in description.stages.items()
        for name, value in settings.items()
    ]
    training = [*recipe.items(), ("seed", description.seed)]
    return "\n".join(
        f"## {title}\n\n{_table(header, rows)}"
        for title, header, rows in (
            ("Stages before it", ["stage", "setting", "value"], geometry),
            ("Training", ["setting", "value"], training),
            ("Versions", ["package", "version"], description.versions.items()),
        )
    )


def _interval(interval: Sequence[float]) -> str:
    low, high = interval
    return f"{low:.1%} to {high:.1%}"


def _table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header)]
    lines += [[plain(value) for value in row] for row in rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
