"""The learning rate over a run, and when the run ends."""

from __future__ import annotations

import math

from stages.training.recipes import Recipe
from stages.training.state import Numbers, State

WARM = 0.3  # share of a one-cycle run in which the learning rate rises
FIRST, LAST = 1 / 25, 1e-4  # where it starts and ends, as shares of its peak

# After so many epochs in a row that get all validation pictures and this share of the (changed)
# training pictures right, the schedule runs so many times as fast to its end.
SETTLED, LEARNT, HASTE = 5, 0.995, 4


def learning_rate(recipe: Recipe, epoch: int, progress: float) -> float:
    """The rate in epoch `epoch` (from 0); `progress` counts epochs with fractions."""
    if recipe.schedule == "constant":
        return recipe.lr
    if recipe.schedule == "step":
        return recipe.lr * recipe.step_gamma ** (epoch // recipe.step_epochs)
    share = min(1.0, progress / recipe.epochs)
    # One cycle on cosines: `way` runs from 0 to 1 as the rate rises, then from 1 to 0.
    low, way = (FIRST, share / WARM) if share < WARM else (LAST, (1 - share) / (1 - WARM))
    return recipe.lr * (low + (1 - low) * (1 - math.cos(math.pi * way)) / 2)


def end_of(state: State, recipe: Recipe) -> int:
    """The epoch that is the last, as things stand."""
    if state.hurries_from is None:
        return recipe.epochs
    return state.hurries_from + math.ceil((recipe.epochs - state.hurries_from) / HASTE)


def progress_of(state: State, share: float) -> float:
    """How far the schedule has come, in epochs, after a share of the next one."""
    epoch = state.epoch + share
    return (
        epoch if state.hurries_from is None else epoch + (HASTE - 1) * (epoch - state.hurries_from)
    )


def settle(state: State, numbers: Numbers, recipe: Recipe) -> None:
    """Let the rest of a one-cycle schedule run faster once there is nothing left to gain."""
    perfect = numbers["data/trainacc"] >= LEARNT and numbers.get("data/valacc", 1.0) == 1.0
    state.perfect_epochs = state.perfect_epochs + 1 if perfect else 0
    settled = state.perfect_epochs >= SETTLED and recipe.schedule == "one_cycle"
    if settled and state.hurries_from is None:
        state.hurries_from = state.epoch
