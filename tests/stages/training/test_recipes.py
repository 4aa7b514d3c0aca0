"""How long a recipe trains: by the number of pictures, where its epochs are not given."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.trouble import Usage
from stages.training.recipes import FEWEST_STEPS, RECIPES, Recipe


def steps_of(recipe: Recipe, pictures: int) -> int:
    return recipe.sized(pictures).epochs * math.ceil(pictures / recipe.batch)


@settings(deadline=None)
@given(st.integers(2, 10**7), st.integers(2, 10**7), st.sampled_from([16, 64, 128, 512]))
def test_more_pictures_get_more_steps_but_each_is_seen_less_often(
    first: int, second: int, batch: int
) -> None:
    few, many = sorted((first, second))
    recipe = Recipe(batch=batch)
    rounding = max(math.ceil(pictures / batch) for pictures in (few, many))
    assert steps_of(recipe, few) <= steps_of(recipe, many) + rounding
    assert recipe.sized(few).epochs >= recipe.sized(many).epochs
    assert recipe.sized(many).epochs >= 1


@settings(deadline=None)
@given(st.integers(2, 10**7), st.integers(1, 1000))
def test_epochs_that_are_given_stay(pictures: int, epochs: int) -> None:
    recipe = Recipe(epochs=epochs)
    assert recipe.sized(pictures) == recipe
    assert recipe.sized(pictures).sized(2) == recipe


def test_a_length_is_chosen_once() -> None:
    sized = Recipe().sized(5000)
    assert sized.sized(50) == sized and sized.epochs > 0


def test_a_handful_of_pictures_gets_enough_steps_to_learn_anything() -> None:
    assert steps_of(Recipe(), 20) >= FEWEST_STEPS


def test_the_published_recipes_keep_their_epochs() -> None:
    published = ("classic", "mobilenet_v3_small", "alexnet")
    assert [RECIPES[name].sized(28_000).epochs for name in published] == [300, 20, 8]


def test_only_a_rate_that_falls_to_nothing_needs_no_choice_of_an_epoch() -> None:
    recipe = Recipe()
    assert not recipe.chooses_epoch
    assert replace(recipe, patience=5).chooses_epoch
    assert replace(recipe, schedule="constant").chooses_epoch
    assert RECIPES["classic"].chooses_epoch


def test_epochs_below_nothing_are_refused() -> None:
    with pytest.raises(Usage, match=r"^epochs must be 0 to 100,000$"):
        Recipe(epochs=-1)
