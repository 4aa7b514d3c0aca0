"""Which recipe is best for your pictures: each judged on pictures that it never saw.

Every folder holds pictures by label, as `raw/` does. Each fold trains as `make train` would: a
tenth of the other pictures is for validation, the fold itself judges. What is done is kept under
`--work` and not done again. Flags other than those below go to the pipeline: `--group-by REGEX`
keeps a person's pictures in one fold.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from recipe_figures import HEADER, draw, recommendation, row, table

from pipeline import files
from pipeline.__main__ import main as pipeline
from pipeline.ledger import Ledger
from stages.training.calibration import temperature_of
from stages.training.data import Crops, load_crops
from stages.training.devices import device_name, device_of
from stages.training.folds import folds
from stages.training.loop import fit
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
