"""The optimizer: torch's own numbers, without its compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from stages.training.optimizer import Optimizer
from stages.training.recipes import Recipe

STEPS = 20
CASES: dict[str, tuple[Recipe, Callable[[Any], torch.optim.Optimizer]]] = {
    "adam": (
        Recipe(optimizer="adam", weight_decay=0.01),
        lambda groups: torch.optim.Adam(groups, fused=True),
    ),
    "sgd": (
        Recipe(optimizer="sgd", weight_decay=0.01, nesterov=False),
        lambda groups: torch.optim.SGD(groups, momentum=0.9),
    ),
    "nesterov": (
        Recipe(optimizer="sgd", weight_decay=0.01, momentum=0.8),
        lambda groups: torch.optim.SGD(groups, momentum=0.8, nesterov=True),
    ),
    "no momentum": (
        Recipe(optimizer="sgd", weight_decay=0.01, momentum=0.0, nesterov=False),
        lambda groups: torch.optim.SGD(groups),
    ),
}


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(180, 2)
    )


def gradients(network: nn.Module, step: int) -> None:
    pictures = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
    network.zero_grad()
    network(pictures).square().mean().backward()


def farthest(network: nn.Module, other: nn.Module) -> float:
    pairs = zip(network.parameters(), other.parameters(), strict=True)
    return max((own - theirs).detach().abs().max().item() for own, theirs in pairs)


def groups_of(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    decaying = [value for value in network.parameters() if value.ndim > 1]
    others = [value for value in network.parameters() if value.ndim == 1]
    return [{"params": decaying, "weight_decay": recipe.weight_decay}, {"params": others}]


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps_end_where_torchs_optimizer_ends(case: str) -> None:
    """With a rate that changes, and with a layer that is frozen for the first ten steps."""
    recipe, make = CASES[case]
    ours, theirs = small_network(), small_network()
    optimizer, reference = Optimizer(recipe, ours), make(groups_of(theirs, recipe))
    start, layer = small_network(), ours.get_parameter("0.weight")
    for step in range(STEPS):
        rate = 0.02 / (1 + step)
        for network in (ours, theirs):
            network[0].requires_grad_(step >= STEPS // 2)
            gradients(network, step)
        optimizer.step(rate)
        for group in reference.param_groups:
            group["lr"] = rate
        reference.step()
        if step == STEPS // 2 - 1:
            assert torch.equal(layer, start.get_parameter("0.weight"))
    assert farthest(ours, theirs) < 1e-7
    assert farthest(ours, start) > 1e-3


@pytest.mark.parametrize("case", CASES)
def test_an_optimizer_goes_on_from_a_saved_state(case: str) -> None:
    recipe, _ = CASES[case]
    network, copy = small_network(), small_network()
    optimizer, later = Optimizer(recipe, network), Optimizer(recipe, copy)
    for step in range(3):
        gradients(network, step)
        optimizer.step(0.01)
    copy.load_state_dict(network.state_dict())
    later.load_state_dict(optimizer.state_dict())
    for each, own in ((optimizer, network), (later, copy)):
        gradients(own, 3)
        each.step(0.01)
    assert farthest(network, copy) == 0


def test_a_state_of_another_network_is_refused() -> None:
    recipe = Recipe()
    optimizer = Optimizer(recipe, nn.Linear(3, 2))
    states: list[Any] = [{2: []}, {0: [torch.zeros(3)]}, {0: [torch.zeros(9, 9)] * 3}, {"state": 1}]
    for state in states:
        with pytest.raises((LookupError, TypeError, ValueError, RuntimeError)):
            optimizer.load_state_dict(state)
