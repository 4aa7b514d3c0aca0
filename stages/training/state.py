"""What changes during training, and who keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from stages.training.optimizer import Optimizer
from stages.training.recipes import Recipe
from stages.training.stream import TrainingSet

Numbers = dict[str, Any]
"""What is known of an epoch: its number, losses and accuracies, learning rate and seconds."""


@dataclass
class State:
    """All that changes during training; `epoch` counts the finished ones."""

    network: nn.Module
    optimizer: Optimizer
    rng: torch.Generator
    epoch: int = 0
    best: Numbers = field(default_factory=dict)
    """Of the epoch whose weights are kept."""
    perfect_epochs: int = 0
    """Epochs in a row, the last one among them, without (nearly) any mistake."""
    hurries_from: int | None = None
    """The epoch after which the schedule runs faster, because nothing is left to gain."""


class Record(Protocol):
    """Keeps what a training run leaves behind."""

    shows_progress: bool

    @property
    def stop_requested(self) -> bool:
        """Whether the user wants the run to end after this epoch."""
        ...

    def start(self, state: State, train: TrainingSet, recipe: Recipe) -> None:
        """Bring the state to where an interrupted run was, if there is one to go on from."""
        ...

    def epoch(self, state: State, numbers: Numbers, better: bool) -> None:
        """Keep an epoch; `better`: its weights are to be kept rather than those of earlier ones."""
        ...


class NoRecord:
    """Keeps nothing."""

    shows_progress = False
    stop_requested = False

    def start(self, state: State, train: TrainingSet, recipe: Recipe) -> None: ...

    def epoch(self, state: State, numbers: Numbers, better: bool) -> None: ...


NO_RECORD = NoRecord()
