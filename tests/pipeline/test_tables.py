"""Tables: any text survives the way to a spreadsheet and back, and no cell is a formula."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.tables import csv_text

UNHURRIED = settings(deadline=None)  # a busy machine is no failure
CELLS = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.lists(st.lists(CELLS, min_size=2, max_size=2))
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@UNHURRIED
@given(ROWS)
@example([["a\rb.jpg", "smile"]])  # a carriage return is a lawful part of a file name
@example([['"', ","], ["a\nb", ""]])
def test_what_is_written_is_read_back(rows: list[list[str]]) -> None:
    expected = [["'" + cell if cell.startswith(FORMULA) else cell for cell in row] for row in rows]
    assert read(csv_text(("one", "two"), rows)) == [["one", "two"], *expected]


@UNHURRIED
@given(ROWS)
def test_no_cell_begins_as_a_formula_does(rows: list[list[str]]) -> None:
    cells = [cell for row in read(csv_text(("one", "two"), rows)) for cell in row]
    assert not [cell for cell in cells if cell.startswith(FORMULA)]


@pytest.mark.parametrize("name", ["=1+1.jpg", "+x", "-x", "@x", "\tx"])
def test_a_name_like_a_formula_stays_a_name(name: str) -> None:
    assert read(csv_text(["file"], [[name]])) == [["file"], ["'" + name]]


def test_numbers_stay_numbers_and_lines_end_as_rfc_4180_says() -> None:
    assert csv_text(["x", "y"], [[-1, 0.5], [None, ""]]) == "x,y\r\n-1,0.5\r\n,\r\n"
    assert csv_text(["x"], []) == "x\r\n"
