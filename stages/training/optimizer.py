"""The optimizer and its learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from stages.training.recipes import Recipe

WARM = 0.3  # share of a one-cycle run in which the learning rate rises
FIRST, LAST = 1 / 25, 1e-4  # where it starts and ends, as shares of its peak


def learning_rate(recipe: Recipe, epoch: int, progress: float) -> float:
    """The rate in epoch `epoch` (from 0); `progress` counts epochs with fractions."""
    if recipe.schedule == "constant":
        return recipe.lr
    if recipe.schedule == "step":
        return recipe.lr * recipe.step_gamma ** (epoch // recipe.step_epochs)
    share = progress / recipe.epochs
    # One cycle on cosines: `way` runs from 0 to 1 as the rate rises, then from 1 to 0.
    low, way = (FIRST, share / WARM) if share < WARM else (LAST, (1 - share) / (1 - WARM))
    return recipe.lr * (low + (1 - low) * (1 - math.cos(math.pi * way)) / 2)


def optimizer_of(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """SGD or Adam over all parameters; biases and batch norm do not decay."""
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": others},
    ]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr, fused=True)
    return torch.optim.SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        fused=not recipe.freeze,  # fused wants a momentum for all weights or for none
    )
