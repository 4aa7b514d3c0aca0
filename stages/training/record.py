"""What a training run leaves in its folder, written so that a killed run can go on."""

from __future__ import annotations

import io
import json
import signal
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from pipeline import files
from pipeline.trouble import Trouble
from stages.training.augment import apply
from stages.training.augmentation import draw
from stages.training.figures import DOTS, confusion_figure, curves
from stages.training.recipes import Recipe
from stages.training.state import Numbers, State
from stages.training.stream import TrainingSet

STATE_SECONDS = 5.0  # between two times that the whole state is written
COUNTS = ("epoch", "best", "perfect_epochs", "hurries_from")  # of the state, as they are
SCALARS = ("data/trainloss", "data/trainacc", "data/valloss", "data/valacc", "lr")


class RunFolder:
    """Writes weights, metrics and TensorBoard's files; knows how to go on. A context manager.

    `save(name, network, numbers)` writes a model file. Ctrl-C lets the epoch finish first; a
    second one ends at once. Of several processes only one `writes`.
    """

    shows_progress = True

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
        self._each_better = False
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        self.stop_requested = False
        self._board: SummaryWriter | None = None

    def __enter__(self) -> RunFolder:
        if self._in_main_thread:  # no other may; Ray Train works in another
            self._before = signal.signal(signal.SIGINT, self._request_stop)
        return self

    def __exit__(self, *_: object) -> None:
        if self._in_main_thread:
            signal.signal(signal.SIGINT, self._before)
        if self._board:
            self._board.close()

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        if self.stop_requested:
            raise KeyboardInterrupt
        self.stop_requested = True
        self._print("\ntrain: ending after this epoch (Ctrl-C again: at once)")

    def _print(self, words: str) -> None:
        if self._writes:
            print(words)

    def start(self, state: State, train: TrainingSet, recipe: Recipe) -> None:
        """Load the state of an interrupted run; else show TensorBoard what the network sees.

        Raises Trouble where that state is damaged.
        """
        path = self._folder / "state.pt"
        self._each_better = not recipe.chooses_epoch
        if self._resume and path.exists():
            _load(path, state)
            self._print(f"train: going on after epoch {state.epoch}")
        if not self._writes:
            return
        lines = self._metrics()[: state.epoch]
        files.write(self._folder / "metrics.jsonl", "".join(line + "\n" for line in lines))
        board = SummaryWriter(str(self._folder / "tensorboard"), purge_step=state.epoch + 1)
        self._board = board
        if state.epoch == 0:
            _show(board, state.network, train, recipe)

    def epoch(self, state: State, numbers: Numbers, better: bool) -> None:
        """Write an epoch's numbers; weights when they are the best so far, state now and then.

        Where each epoch is better than the one before, the best weights are written now and then.
        """
        with open(self._folder / "metrics.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(numbers) + "\n")
        for tag in SCALARS:
            if tag in numbers and self._board:
                self._board.add_scalar(tag, numbers[tag], state.epoch)
        due = self.stop_requested or time.monotonic() - self._written > STATE_SECONDS
        if better and (due or not self._each_better):
            self._save("best", state.network, numbers)
        if due:
            self._save("last", state.network, numbers)
            files.write(self._folder / "state.pt", _to_bytes(state))
            self._written = time.monotonic()

    def finish(self, state: State) -> None:
        """The last weights and state, all scalars as JSON, curves as a picture."""
        rows = [json.loads(line) for line in self._metrics()]
        for name in ("best", "last") if self._each_better else ("last",):
            self._save(name, state.network, rows[-1])
        files.write(self._folder / "state.pt", _to_bytes(state))
        scalars = {
            tag: [[row["epoch"], row[tag]] for row in rows] for tag in SCALARS if tag in rows[-1]
        }
        files.write(self._folder / "scalars.json", json.dumps(scalars))
        curves(rows).savefig(self._folder / "curves.png", dpi=DOTS)

    def show_confusion(self, confusion: list[list[int]], labels: list[str]) -> None:
        """The confusion matrix of the best weights, for TensorBoard and as a picture."""
        figure = confusion_figure(confusion, labels)
        figure.savefig(self._folder / "confusion.png", dpi=DOTS)
        if self._board:
            self._board.add_figure("confusion", figure)

    def _metrics(self) -> list[str]:
        path = self._folder / "metrics.jsonl"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _show(board: SummaryWriter, network: nn.Module, train: TrainingSet, recipe: Recipe) -> None:
    """A batch as the network sees it, and the network's graph."""
    some = train.some(32)
    augmentation = draw(len(some), some.shape[2], recipe, torch.Generator().manual_seed(0))
    seen = apply(some, augmentation, recipe)
    low, high = seen.amin((1, 2, 3), keepdim=True), seen.amax((1, 2, 3), keepdim=True)
    board.add_images("batch", (seen - low) / (high - low).clamp(min=1e-6), 0)
    picture = seen[:1].to(next(network.parameters()).device)
    with warnings.catch_warnings(), suppress(RuntimeError):  # some networks cannot be drawn
        warnings.simplefilter("ignore")  # tracing tells what changes with a picture's size
        # In training mode it would draw dropout's numbers. The check would import the compiler.
        traced = torch.jit.trace(network.eval(), picture, check_trace=False)
        board.add_graph(traced, picture)


def _to_bytes(state: State) -> bytes:
    """Everything that training goes on from, as torch saves it."""
    buffer = io.BytesIO()
    torch.save(
        {
            "network": state.network.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "rng": state.rng.get_state(),
            "torch": torch.get_rng_state(),
            **{name: getattr(state, name) for name in COUNTS},
        },
        buffer,
    )
    return buffer.getvalue()


def _load(path: Path, state: State) -> None:
    """Bring the state to that of a file; no object but tensors and plain values is unpickled."""
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state.network.load_state_dict(saved["network"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.rng.set_state(saved["rng"])
        torch.set_rng_state(saved["torch"])
        for name in COUNTS:
            setattr(state, name, saved[name])
    except (UnpicklingError, RuntimeError, ValueError, LookupError, TypeError, EOFError) as error:
        raise Trouble(
            f"{path} is damaged, so training cannot go on from it: leave out --resume"
        ) from error
