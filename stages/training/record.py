"""What a run leaves in processed/runs/<name>/, written so that a killed run can go on."""

from __future__ import annotations

import json
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from pipeline import files
from stages.training.augment import apply, draw
from stages.training.data import Crops
from stages.training.loop import Numbers, State
from stages.training.recipes import Recipe

STATE_SECONDS = 5.0  # between two times that the whole state is written
SCALARS = ("data/trainloss", "data/trainacc", "data/valloss", "data/valacc", "lr")


class RunFolder:
    """Writes weights, metrics and TensorBoard; knows how to go on. Use as a context manager.

    `save(name, network, numbers)` writes a model file. Ctrl-C lets the epoch finish first; a
    second one ends at once. Of several processes, one `writes`.
    """

    def __init__(
        self,
        folder: Path,
        resume: bool,
        save: Callable[[str, nn.Module, Numbers], None],
        writes: bool = True,
    ) -> None:
        self._folder = folder
        self._resume = resume
        self._save = save
        self._writes = writes
        self._written = 0.0
        self.asked = False
        self._board: SummaryWriter | None = None

    def __enter__(self) -> RunFolder:
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)
        if self._board:
            self._board.close()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._say("\ntrain: ending after this epoch (Ctrl-C again: at once)")

    def _say(self, words: str) -> None:
        if self._writes:
            print(words)

    def start(self, state: State, train: Crops, recipe: Recipe) -> None:
        """Load the state of an interrupted run; else show TensorBoard what the network sees."""
        if self._resume and (self._folder / "state.safetensors").exists():
            _load(self._folder / "state.safetensors", state)
            self._say(f"train: going on after epoch {state.epoch}")
        if not self._writes:
            return
        lines = self._metrics()[: state.epoch]
        files.write(self._folder / "metrics.jsonl", "".join(line + "\n" for line in lines))
        board = SummaryWriter(str(self._folder / "tensorboard"), purge_step=state.epoch + 1)
        self._board = board
        if state.epoch == 0:
            self._show(board, state.network, train, recipe)

    def epoch(self, state: State, numbers: Numbers, better: bool) -> None:
        """Write an epoch's numbers; weights when they are the best so far, state now and then."""
        with open(self._folder / "metrics.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(numbers) + "\n")
        for tag in SCALARS:
            if tag in numbers and self._board:
                self._board.add_scalar(tag, numbers[tag], state.epoch)
        if better:
            self._save("best", state.network, numbers)
        if self.asked or time.monotonic() - self._written > STATE_SECONDS:
            self._save("last", state.network, numbers)
            files.write(self._folder / "state.safetensors", _to_bytes(state))
            self._written = time.monotonic()

    def finish(self, state: State) -> None:
        """The last weights, all scalars as JSON, curves as a picture; the state is not needed."""
        rows = [json.loads(line) for line in self._metrics()]
        self._save("last", state.network, rows[-1])
        scalars = {
            tag: [[row["epoch"], row[tag]] for row in rows] for tag in SCALARS if tag in rows[-1]
        }
        files.write(self._folder / "scalars.json", json.dumps(scalars))
        figure = curves(rows)
        figure.savefig(self._folder / "curves.png", dpi=110)
        (self._folder / "state.safetensors").unlink(missing_ok=True)

    def show_confusion(self, confusion: list[list[int]], labels: list[str]) -> None:
        """The confusion matrix of the best weights, for TensorBoard and as a picture."""
        figure = confusion_figure(confusion, labels)
        figure.savefig(self._folder / "confusion.png", dpi=110)
        if self._board:
            self._board.add_figure("confusion", figure)

    def _metrics(self) -> list[str]:
        path = self._folder / "metrics.jsonl"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def _show(self, board: SummaryWriter, network: nn.Module, train: Crops, recipe: Recipe) -> None:
        """A batch as the network sees it, and the network's graph."""
        some = train.pictures[:32]
        what = draw(len(some), some.shape[2], recipe, torch.Generator().manual_seed(0))
        seen = apply(some, what, recipe)
        low, high = seen.amin((1, 2, 3), keepdim=True), seen.amax((1, 2, 3), keepdim=True)
        board.add_images("batch", (seen - low) / (high - low).clamp(min=1e-6), 0)
        one = seen[:1].to(next(network.parameters()).device)
        with warnings.catch_warnings(), suppress(RuntimeError):  # some cannot be drawn
            warnings.simplefilter("ignore")  # tracing says what changes with a picture's size
            board.add_graph(network.eval(), one)  # in training it would draw dropout's numbers


def _to_bytes(state: State) -> bytes:
    """Network, optimizer, random generators as tensors; epoch and best numbers as metadata."""
    tensors = {f"network.{name}": value for name, value in state.network.state_dict().items()}
    for place, slots in state.optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{place}.{name}": torch.as_tensor(x)
            for name, x in slots.items()
            if x is not None
        }
    tensors |= {"generator": state.generator.get_state(), "torch": torch.get_rng_state()}
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return bytes(to_bytes(whole, {"epoch": str(state.epoch), "best": json.dumps(state.best)}))


def _load(path: Path, state: State) -> None:
    with safe_open(path, "pt") as file:
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about: dict[str, str] = file.metadata()
    state.network.load_state_dict(_part(tensors, "network."))
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimizer.").items():
        place, _, slot = name.partition(".")
        slots.setdefault(int(place), {})[slot] = value
    whole: dict[str, Any] = state.optimizer.state_dict()
    state.optimizer.load_state_dict({**whole, "state": slots})
    state.generator.set_state(tensors["generator"])
    torch.set_rng_state(tensors["torch"])
    state.epoch, state.best = int(about["epoch"]), json.loads(about["best"])


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def curves(rows: list[Numbers]) -> Any:
    """Loss and accuracy of training and validation over the epochs, as a matplotlib figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    for axis, kind in zip(figure.subplots(1, 2), ("loss", "acc"), strict=True):
        for tag in (f"data/train{kind}", f"data/val{kind}"):
            if tag in rows[-1]:
                axis.plot(epochs, [row[tag] for row in rows], label=tag)
        axis.set(xlabel="epoch", title={"loss": "loss a picture", "acc": "accuracy"}[kind])
        axis.grid(alpha=0.3)
        axis.legend()
    return figure


def confusion_figure(confusion: list[list[int]], labels: list[str]) -> Any:
    """Counts by true and given label, as a matplotlib figure."""
    from matplotlib.figure import Figure

    side = 2.2 + 0.6 * len(labels)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axis = figure.subplots()
    shares = [[count / max(1, sum(row)) for count in row] for row in confusion]
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axis.set_yticks(range(len(labels)), labels)
    axis.set(xlabel="said", ylabel="true")
    for y, row in enumerate(confusion):
        for x, count in enumerate(row):
            ink = "white" if shares[y][x] > 0.6 else "black"
            axis.text(x, y, str(count), ha="center", va="center", color=ink)
    return figure
