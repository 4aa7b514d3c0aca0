"""How gradients become steps: the optimizer and its learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from stages.training.recipes import Recipe

WARM = 0.3  # share of a one-cycle run that the learning rate rises


def learning_rate(recipe: Recipe, epoch: int, progress: float) -> float:
    """The rate after `epoch` whole epochs, `progress` of them with the part begun."""
    if recipe.schedule == "constant":
        return recipe.lr
    if recipe.schedule == "step":
        return recipe.lr * recipe.step_gamma ** (epoch // recipe.step_epochs)
    share = progress / recipe.epochs  # one cycle: up from 1/25, down to 1/10,000, on cosines
    low, far = (1 / 25, share / WARM) if share < WARM else (1e-4, (1 - share) / (1 - WARM))
    return recipe.lr * (low + (1 - low) * (1 - math.cos(math.pi * far)) / 2)


def optimizer_of(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """SGD or Adam over all parameters; biases and batch norm do not decay."""
    weights = [one for one in network.parameters() if one.ndim > 1]
    others = [one for one in network.parameters() if one.ndim <= 1]
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
        fused=not recipe.freeze,  # it wants a momentum for all weights or none
    )
