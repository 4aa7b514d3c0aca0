"""A copy joins the kept picture it is like, and never a copy of it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.likeness.clusters import components, leaders
from stages.likeness.pairs import Pair


def test_a_copy_of_a_copy_leads_itself() -> None:
    chain = [Pair(0, 1, 10), Pair(1, 2, 10)]
    assert leaders(3, chain, lambda better, worse: True) == [0, 0, 2]


def test_the_nearest_leader_is_joined_and_of_equally_near_ones_the_better() -> None:
    pairs = [Pair(0, 2, 9), Pair(1, 2, 4), Pair(0, 3, 5), Pair(1, 3, 5)]
    assert leaders(4, pairs, lambda better, worse: True) == [0, 1, 1, 0]


def test_what_is_no_copy_is_not_joined() -> None:
    pairs = [Pair(0, 2, 1), Pair(1, 2, 7)]
    assert leaders(3, pairs, lambda better, worse: better == 1) == [0, 1, 1]


def test_links_make_groups() -> None:
    numbers = components(6, [Pair(0, 3, 30), Pair(3, 5, 30), Pair(1, 2, 30)])
    assert numbers[0] == numbers[3] == numbers[5]
    assert numbers[1] == numbers[2]
    assert len(set(numbers)) == 3


links = st.sets(
    st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda two: two[0] < two[1])
)


@given(links)
def test_every_picture_has_a_leader_it_is_linked_to(linked: set[tuple[int, int]]) -> None:
    found = leaders(12, [Pair(*two, 5) for two in sorted(linked)], lambda better, worse: True)
    for place, leader in enumerate(found):
        assert found[leader] == leader
        assert place == leader or (leader, place) in linked
        assert place != leader or not any(
            found[better] == better for better, worse in linked if worse == place
        )


@given(links)
def test_two_pictures_are_in_one_component_where_links_lead_from_one_to_the_other(
    linked: set[tuple[int, int]],
) -> None:
    numbers = components(12, [Pair(*two, 30) for two in linked])
    reached = np.eye(12, dtype=int)
    for one, other in linked:
        reached[one, other] = reached[other, one] = 1
    reached = np.linalg.matrix_power(reached, 12) > 0
    assert (np.equal.outer(numbers, numbers) == reached).all()
