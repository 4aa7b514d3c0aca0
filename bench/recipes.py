"""Which recipe is best for your pictures: each judged on pictures that it never saw.

Every folder holds pictures by label, as `raw/` does. Each fold trains as `make train` would: a
tenth of the other pictures is for validation, the fold itself judges. What is done is kept under
`--work` and not done again. Flags other than those below go to the pipeline: `--group-by REGEX`
keeps a person's pictures in one fold.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pipeline import files
from pipeline.__main__ import main as pipeline
from pipeline.ledger import Ledger
from stages.training.calibration import temperature_of
from stages.training.data import Crops, load_crops
from stages.training.devices import device_name, device_of
from stages.training.folds import folds
from stages.training.intervals import Z, wilson
from stages.training.loop import fit
from stages.training.metrics import measure
from stages.training.recipes import RECIPES, Recipe
from stages.training.state import Numbers, State
from stages.training.stream import TrainingSet
from stages.training.validation import logits_of


class Best:
    """A record that keeps the best epoch's weights, and what each epoch reached when."""

    shows_progress = stop_requested = False

    def __init__(self) -> None:
        self.weights: dict[str, torch.Tensor] = {}
        self.curve: list[tuple[float, float]] = []

    def start(self, state: State, train: TrainingSet, recipe: Recipe) -> None:
        self._began = time.process_time()

    def epoch(self, state: State, numbers: Numbers, better: bool) -> None:
        self.curve.append((time.process_time() - self._began, numbers["data/valacc"]))
        if better:
            self.weights = {
                name: value.clone() for name, value in state.network.state_dict().items()
            }


@dataclass(frozen=True)
class Data:
    """A folder's crops as the pipeline makes them, without its val and test."""

    name: str
    work: Path
    fingerprint: str
    labels: list[str]

    @classmethod
    def prepare(cls, folder: Path, region: str, work: Path, flags: Sequence[str]) -> Data:
        """Bring the folder's data set up to date. Ends the program where that fails."""
        where = ["--raw", str(folder), "--processed", str(work), "--region", region, *flags]
        if code := pipeline(["split", *where]):
            raise SystemExit(code)
        with Ledger(work / "ledger.sqlite") as ledger:
            labels = sorted(set().union(*ledger.labels("split").values()))
            return cls(folder.name, work, ledger.fingerprint("split"), labels)

    def crops(self, side: int) -> Crops:
        with Ledger(self.work / "ledger.sqlite") as ledger:
            samples = sorted(ledger.samples("split", self.work), key=lambda sample: sample.key)
        return load_crops(samples, self.labels, side)


def judged(data: Data, recipe: Recipe, fold: int, of: int, seed: int, device: torch.device) -> Any:
    """One training, and the answers for its fold; read where it is on file already."""
    plan = {"recipe": asdict(recipe), "data": data.fingerprint, "fold": [fold, of], "seed": seed}
    plan["device"] = device.type
    path = data.work / "recipes" / f"{files.digest(json.dumps(plan).encode())[:16]}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    crops = data.crops(recipe.side)
    held = folds(crops.samples, of)[fold]
    rest = crops.take(sorted(set(range(len(crops))) - set(held)))
    val = folds(rest.samples, 10)[0]
    train = rest.take(sorted(set(range(len(rest))) - set(val)))
    record, began, used = Best(), time.monotonic(), time.process_time()
    state = fit(recipe, seed, train, rest.take(val), data.labels, device, record)
    seconds, cpu = time.monotonic() - began, time.process_time() - used
    state.network.load_state_dict(record.weights)
    logits = logits_of(state.network, crops.pictures[held], recipe, device)
    if not recipe.chooses_epoch:
        known = logits_of(state.network, rest.pictures[val], recipe, device)
        logits = logits / temperature_of(known, rest.classes[val])
    result = plan | {
        "places": held,
        "classes": crops.classes[held].tolist(),
        "logits": logits.tolist(),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "trained_on": len(train),
        "epochs": state.epoch,
        "curve": record.curve,
    }
    files.write(path, json.dumps(result))
    return result


@dataclass(frozen=True)
class Row:
    """A recipe on a set. `right` has a value a picture: the share of seeds that answered it."""

    recipe: str
    right: dict[int, float]
    macro_f1: float
    ece: float
    seconds: float
    cpu_seconds: float
    rate: float

    @property
    def accuracy(self) -> float:
        return statistics.mean(self.right.values())


def row(recipe: str, trainings: Sequence[Any], labels: Sequence[str]) -> Row:
    """Figures of a recipe's trainings. Macro F1 and ECE are means over the seeds, each of all folds
    together: few pictures make the ECE too large.
    """
    answers: dict[int, list[float]] = {}
    figures = []
    for seed in sorted({training["seed"] for training in trainings}):
        folds_of_seed = [training for training in trainings if training["seed"] == seed]
        places, classes, logits = (
            torch.cat([torch.tensor(training[name]) for training in folds_of_seed])
            for name in ("places", "classes", "logits")
        )
        figures.append(measure(logits, classes, labels))
        for place, right in zip(places.tolist(), logits.argmax(1) == classes, strict=True):
            answers.setdefault(place, []).append(float(right))
    shown = sum(training["trained_on"] * training["epochs"] for training in trainings)
    return Row(
        recipe,
        {place: statistics.mean(values) for place, values in answers.items()},
        statistics.mean(metrics.macro_f1 for metrics in figures),
        statistics.mean(metrics.ece for metrics in figures),
        statistics.mean(training["seconds"] for training in trainings),
        statistics.mean(training["cpu_seconds"] for training in trainings),
        shown / sum(training["seconds"] for training in trainings),
    )


def table(name: str, rows: Sequence[Row]) -> str:
    """A set's rows in Markdown."""
    lines = []
    for found in rows:
        count = len(found.right)
        low, high = wilson(round(found.accuracy * count), count)
        lines.append(
            f"| {name} | `{found.recipe}` | {found.accuracy:.1%} ({low:.1%} to {high:.1%}) | "
            f"{found.macro_f1:.3f} | {found.ece:.3f} | {found.seconds:,.0f} | "
            f"{found.cpu_seconds:,.0f} | {found.rate:,.0f} |"
        )
    return "\n".join(lines)


HEADER = """\
| set | recipe | accuracy (95%) | macro F1 | ECE | seconds | CPU seconds | pictures/s |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def gain(better: Row, other: Row) -> tuple[float, float]:
    """By how much of its accuracy one recipe leads, and the reach of the 95% interval of that."""
    differences = [better.right[place] - other.right[place] for place in better.right]
    reach = Z * statistics.stdev(differences) / math.sqrt(len(differences))
    return statistics.mean(differences), reach


def recommendation(name: str, rows: Sequence[Row]) -> str:
    """The fastest recipe that the most accurate one does not surely beat, in a sentence."""
    best = max(rows, key=lambda found: found.accuracy)
    for found in sorted(rows, key=lambda found: found.seconds):
        ahead, reach = gain(best, found)
        if ahead - reach <= 0:
            break
    if found is best:
        others = [gain(best, other)[0] for other in rows if other is not best]
        lead = f": {min(others):+.1%} or more over the others" if others else ""
        return f"{name}: take --recipe {best.recipe}{lead}"
    return (
        f"{name}: take --recipe {found.recipe}; {best.recipe} is not surely better ({ahead:+.1%} "
        f"± {reach:.1%}) and takes {best.seconds / found.seconds:.1f} times as long"
    )


def draw(curves: dict[str, dict[str, list[tuple[float, float]]]], path: Path) -> None:
    """Validation accuracy over CPU seconds, a panel for each set."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(3.2 * len(curves), 3.2), layout="constrained")
    recipes = list(dict.fromkeys(recipe for lines in curves.values() for recipe in lines))
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for panel, (name, lines) in zip(panels, curves.items(), strict=True):
        for recipe, curve in lines.items():
            colour = f"C{recipes.index(recipe)}"
            panel.plot(*zip(*curve, strict=True), color=colour, label=recipe, linewidth=1)
        panel.set(title=name, xlabel="CPU seconds", xscale="log")
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy on validation")
    panels[0].legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("folders", type=Path, nargs="+", help="pictures by label, one set each")
    words.add_argument("--recipes", nargs="+", choices=RECIPES, default=["default", "best"])
    words.add_argument("--region", nargs="+", default=["whole"], help="one, or one for each folder")
    words.add_argument("--folds", type=int, default=5)
    words.add_argument("--first", type=int, help="train for only so many of the folds")
    words.add_argument("--seeds", type=int, default=1)
    words.add_argument("--epochs", type=int, help="in place of the recipes' own")
    words.add_argument("--device", default="auto")
    words.add_argument("--work", type=Path, default=Path("demo/recipes"))
    words.add_argument("--curves", type=Path, help="draw the first fold's curves there")
    chosen, flags = words.parse_known_args()
    device = device_of(chosen.device)
    regions = chosen.region * (len(chosen.folders) if len(chosen.region) == 1 else 1)
    lines, advice = [HEADER], []
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for folder, region in zip(chosen.folders, regions, strict=True):
        data = Data.prepare(folder, region, chosen.work / folder.name, flags)
        rows, curves[data.name] = [], {}
        for name in chosen.recipes:
            recipe = RECIPES[name]
            if chosen.epochs:
                recipe = replace(recipe, epochs=chosen.epochs)
            trainings = [
                judged(data, recipe, fold, chosen.folds, seed, device)
                for seed in range(chosen.seeds)
                for fold in range(chosen.first or chosen.folds)
            ]
            rows.append(row(name, trainings, data.labels))
            curves[data.name][name] = trainings[0]["curve"]
            print(table(data.name, rows[-1:]), flush=True)
        lines.append(table(data.name, rows))
        advice.append(recommendation(data.name, rows))
    print(f"on {device_name(device)}:", *lines, *advice, sep="\n")
    if chosen.curves:
        draw(curves, chosen.curves)


if __name__ == "__main__":
    main()
