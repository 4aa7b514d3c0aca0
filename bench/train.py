"""Our trainer against the published loop, in one run, on the same crops and machine.

`make bench-train` makes a set of the demo's kind (`--pictures` a label) unless `--processed` names
a folder that has a data set. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from subprocess import PIPE

import plain_loop
import torch
from torch.nn import functional as F

from pipeline.__main__ import main as pipeline
from pipeline.ledger import Ledger
from stages.training.data import Crops, load_crops
from stages.training.devices import device_of
from stages.training.loop import fit
from stages.training.models import simpleconv3
from stages.training.recipes import RECIPES, Recipe
from stages.training.state import Numbers, State
from stages.training.stream import TrainingSet


@dataclass(frozen=True)
class Data:
    """Crops by split, and the labels."""

    crops: dict[str, Crops]
    labels: list[str]

    @classmethod
    def of(cls, processed: Path, side: int = 0) -> Data:
        with Ledger(processed / "ledger.sqlite") as ledger:
            samples = list(ledger.samples("split", processed))
        labels = sorted({sample.label for sample in samples})
        members = {
            name: [sample for sample in samples if sample.file.parents[1].name == name]
            for name in ("train", "val")
        }
        return cls({name: load_crops(some, labels, side) for name, some in members.items()}, labels)


class Clock:
    """Notes when each epoch ended and what it reached."""

    shows_progress = stop_requested = False

    def __init__(self) -> None:
        self.epochs: list[tuple[float, Numbers]] = []

    def start(self, state: State, train: TrainingSet, recipe: Recipe) -> None:
        self._began = time.monotonic()

    def epoch(self, state: State, numbers: Numbers, better: bool) -> None:
        self.epochs.append((time.monotonic() - self._began, numbers))


def ours(recipe: Recipe, data: Data, device: torch.device) -> Clock:
    clock = Clock()
    fit(recipe, 0, data.crops["train"], data.crops["val"], data.labels, device, clock)
    return clock


def matrix_work(processed: Path, device: torch.device, steps: int = 60) -> float:
    """Pictures a second of the network alone: forward, backward and step on one resident batch."""
    recipe = RECIPES["classic"]
    network = simpleconv3(len(Data.of(processed).labels)).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    seen = torch.randn(recipe.batch, 3, 48, 48, device=device)
    target = torch.zeros(recipe.batch, dtype=torch.int64, device=device)
    times = []
    for _ in range(steps):
        began = time.monotonic()
        F.cross_entropy(network(seen), target).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.monotonic() - began)
    return recipe.batch / statistics.median(times)


def plain_rate(processed: Path, device: torch.device) -> float:
    """Pictures a second of the plain loop, its first epoch aside."""
    count = len(Data.of(processed).crops["train"])
    last = list(plain_loop.train(processed / "dataset", 3, RECIPES["classic"].batch, device))
    return count * 2 / (last[-1].seconds - last[0].seconds)


def our_rate(processed: Path, device: torch.device) -> float:
    """Pictures a second of recipe classic, its first epoch aside."""
    data = Data.of(processed)
    epochs = ours(replace(RECIPES["classic"], epochs=5), data, device).epochs
    return len(data.crops["train"]) * 4 / (epochs[-1][0] - epochs[0][0])


RATES = {"plain": plain_rate, "ours": our_rate, "matrix work": matrix_work}


def compare_rates(processed: Path, device: torch.device) -> None:
    """All in turn, so that a drifting machine is fair to each, and in processes of their own, as
    they are used.
    """
    rates: dict[str, list[float]] = {name: [] for name in RATES}
    for _, name in product(range(5), RATES):
        words = ["--processed", str(processed), "--device", str(device), "--rate", name]
        alone = subprocess.run([sys.executable, __file__, *words], stdout=PIPE, check=True)
        rates[name].append(float(alone.stdout))
    plain, fast, floor = map(statistics.median, rates.values())
    print(f"same network, batch and augmentation, median of 5: plain {plain:,.0f} pictures/s,")
    print(f"  ours {fast:,.0f} ({fast / plain:.1f}×); the matrix work alone {floor:,.0f}")
    print(json.dumps(rates))


def compare_times(slow: list[plain_loop.Epoch], clock: Clock, decoding: float) -> None:
    """Seconds to the accuracy that the plain loop has on average in its last five epochs."""
    final, spent = statistics.mean(epoch.valacc for epoch in slow[-5:]), slow[-1].seconds
    reached = [seconds for seconds, row in clock.epochs if row["data/valacc"] >= final]
    best = max(row["data/valacc"] for _, row in clock.epochs)
    print(f"plain loop: {len(slow)} epochs in {spent:.1f} s, the last 5 at {final:.1%}")
    print(
        f"recipe default: {clock.epochs[-1][0]:.1f} s, best {best:.1%}; decoding {decoding:.1f} s"
    )
    if reached:
        seconds = reached[0] + decoding
        print(f"  at the plain loop's accuracy after {seconds:.2f} s: {spent / seconds:.0f}× less")


def draw_curves(slow: list[plain_loop.Epoch], clock: Clock, path: Path) -> None:
    """Loss and accuracy of the plain loop and of recipe classic, epoch by epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = range(1, len(slow) + 1)
    for axis, kind in zip(figure.subplots(1, 2), ("loss", "acc"), strict=True):
        for part, colour in (("train", "tab:blue"), ("val", "tab:orange")):
            plain = [getattr(epoch, f"{part}{kind}") for epoch in slow]
            fast = [row[f"data/{part}{kind}"] for _, row in clock.epochs]
            axis.plot(epochs, plain, ":", color=colour, label=f"{part}, plain loop")
            axis.plot(epochs, fast, color=colour, label=f"{part}, recipe classic")
        axis.set(xlabel="epoch", title={"loss": "loss a picture", "acc": "accuracy"}[kind])
        axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--processed", type=Path, default=Path("demo/bench/processed"))
    words.add_argument("--pictures", type=int, default=250, help="a label, when the set is made")
    words.add_argument("--plain-epochs", type=int, default=60)
    words.add_argument("--device", default="auto")
    words.add_argument("--curves", type=Path, help="draw both loops' learning curves there")
    words.add_argument("--rate", choices=RATES, help="measure no more than this, once")
    chosen = words.parse_args()
    if chosen.rate:
        print(RATES[chosen.rate](chosen.processed, device_of(chosen.device)))
        return
    where = ["--raw", str(chosen.processed.parent / "raw"), "--processed", str(chosen.processed)]
    if not (chosen.processed / "ledger.sqlite").exists():
        pipeline(["sample-data", "--output", where[1], "--count", str(chosen.pictures)])
        pipeline(["split", *where])
    device, dataset = device_of(chosen.device), chosen.processed / "dataset"
    began = time.monotonic()
    small = Data.of(chosen.processed, RECIPES["default"].side)
    decoding = time.monotonic() - began
    counts = " + ".join(str(len(crops)) for crops in small.crops.values())
    print(f"{counts} crops, {len(small.labels)} labels, {device}")

    compare_rates(chosen.processed, device)
    classic = RECIPES["classic"]
    slow = list(plain_loop.train(dataset, chosen.plain_epochs, classic.batch, device))
    compare_times(slow, ours(RECIPES["default"], small, device), decoding)
    if chosen.curves:
        classic = replace(classic, epochs=chosen.plain_epochs)
        draw_curves(slow, ours(classic, Data.of(chosen.processed), device), chosen.curves)


if __name__ == "__main__":
    main()
