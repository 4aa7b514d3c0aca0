"""The temperature: found where there is one, and held near 1 by few pictures."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from stages.training.calibration import temperature_of
from stages.training.metrics import calibration_error


def answers(count: int, true: float, labels: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits that say what they mean at this temperature, and classes drawn by them."""
    rng = torch.Generator().manual_seed(seed)
    meant = 2 * torch.randn(count, labels, generator=rng)
    classes = torch.multinomial(meant.softmax(1), 1, generator=rng)[:, 0]
    return meant * true, classes


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_applied_is_found(true: float) -> None:
    logits, classes = answers(20_000, true)
    found = temperature_of(logits, classes)
    assert found == pytest.approx(true, rel=0.04)
    assert calibration_error(logits / found, classes) < 0.01
    if true != 1:
        assert calibration_error(logits, classes) > 0.05


@settings(max_examples=25, deadline=None)
@given(st.floats(0.3, 3.0), st.integers(0, 99), st.integers(1, 200))
def test_a_temperature_never_makes_the_loss_on_its_own_pictures_worse(
    true: float, seed: int, count: int
) -> None:
    logits, classes = answers(count, true, seed=seed)
    found = temperature_of(logits, classes)
    assert 0.2 <= found <= 5
    before = F.cross_entropy(logits, classes).item()
    assert F.cross_entropy(logits / found, classes).item() <= before + 1e-3


def test_few_pictures_that_are_all_right_do_not_make_the_network_sure_of_all() -> None:
    """Without an expectation of it the temperature would be nothing: the surer the better."""
    logits = torch.tensor([[2.0, 0.0]]).repeat(5, 1)
    assert 0.8 < temperature_of(logits, torch.zeros(5, dtype=torch.int64)) < 1


def test_more_pictures_move_the_temperature_further_from_1() -> None:
    far = [
        abs(math.log(temperature_of(*(values[:count] for values in answers(5000, 2.0)))))
        for count in (10, 5000)
    ]
    assert far[0] < far[1]
