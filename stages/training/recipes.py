"""How a model is trained, as presets. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes the weights; the defaults are the `default` recipe."""

    model: str = "simpleconv3"
    """The network."""
    epochs: int = 60
    """Passes over the training pictures."""
    batch: int = 64
    """Pictures a step."""
    lr: float = 0.1
    """Learning rate: the peak of `one_cycle`, the start of `step`."""
    momentum: float = 0.9
    """SGD's momentum."""
    nesterov: bool = True
    """Nesterov's form of it."""
    weight_decay: float = 5e-4
    """L2 penalty on weights (not on biases and batch norm)."""
    schedule: Literal["one_cycle", "step"] = "one_cycle"
    """Learning rate: up and down once over the run, or by `step_gamma` every `step_epochs`."""
    step_epochs: int = 100
    """Epochs between two drops of schedule `step`."""
    step_gamma: float = 0.1
    """Factor of each drop of schedule `step`."""
    label_smoothing: float = 0.05
    """Share of the target given to the other labels."""
    input_size: int = 48
    """Side of what the network sees, in pixels."""
    resize: int = 56
    """Side a crop is brought to for validation and prediction, before the centre is taken."""
    crop_min: float = 0.4
    """Smallest share of the crop's area that training looks at."""
    flip: float = 0.5
    """Chance of a mirror image in training."""


RECIPES = {
    "default": Recipe(),
    # The published loop to the letter: see `simpleconv3` in models.py for its network.
    "classic": Recipe(
        epochs=300,
        nesterov=False,
        weight_decay=0.0,
        schedule="step",
        label_smoothing=0.0,
        resize=64,
        crop_min=0.08,
    ),
}
