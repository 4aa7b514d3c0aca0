"""Groups: what an expression finds in a path."""

from __future__ import annotations

import doctest

import pytest

from stages.partition import groups


@pytest.mark.parametrize(
    ("group_by", "group"),
    [
        (r"/(p\d+)-", "p7"),
        (r"p\d+", "p7"),
        (r"(nobody)", ""),
        (r"(x)?p\d", ""),
        (r"(x*)p\d", ""),
        ("", ""),
    ],
)
def test_a_group_is_what_the_expression_finds(group_by: str, group: str) -> None:
    assert groups.group_of("smile/p7-1.png", groups.compiled(group_by)) == group


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(groups)
    assert result.attempted > 0 and result.failed == 0
