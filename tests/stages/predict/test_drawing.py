"""Boxes, labels and contact sheets, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.sample import Image
from stages.predict.answers import Answer
from stages.predict.drawing import (
    BOX,
    INK,
    PAPER,
    POINT,
    Mark,
    annotated,
    contact_sheet,
    enlarged,
    marks,
)

TEXT = "smile 0.98"


def flat(width: int, height: int, colour: tuple[int, int, int] = (255, 255, 255)) -> Image:
    return np.full((height, width, 3), colour, np.uint8)


def where(image: Image, colour: tuple[int, int, int], near: int = 60) -> NDArray[np.bool_]:
    return np.asarray(np.abs(image.astype(int) - colour).sum(axis=2) < near)


def ink(image: Image) -> int:
    return int(where(image, INK).sum())


def test_the_box_is_drawn_on_its_edges_and_not_inside() -> None:
    image = annotated(flat(400, 300), [Mark(TEXT, (100, 80, 120, 90))])
    for row, column in ((80, 160), (170, 160), (120, 100), (120, 220)):
        assert tuple(image[row, column]) == BOX
    assert (image[90:160, 110:210] == 255).all()


def test_the_picture_itself_is_left_alone() -> None:
    picture = flat(400, 300)
    result = annotated(picture, [Mark(TEXT, (100, 80, 120, 90))])
    assert (picture == 255).all()
    assert result.shape == picture.shape
    assert result.dtype == np.uint8


def test_the_text_stands_above_the_box() -> None:
    rows = np.flatnonzero(
        where(annotated(flat(400, 300), [Mark(TEXT, (100, 80, 120, 90))]), INK).any(1)
    )
    assert rows.min() > 40
    assert rows.max() < 80


def test_the_text_stands_below_where_there_is_no_room_above() -> None:
    rows = np.flatnonzero(
        where(annotated(flat(400, 300), [Mark(TEXT, (100, 3, 120, 90))]), INK).any(1)
    )
    assert rows.min() >= 93
    assert rows.max() < 130


def test_without_a_box_the_text_stands_in_the_upper_left_corner() -> None:
    marked = where(annotated(flat(400, 300, (90, 90, 200)), [Mark(TEXT)]), BOX, near=1)
    rows, columns = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
    assert rows.min() == columns.min() == 0
    assert rows.max() < 40
    assert columns.max() < 200


@given(
    st.integers(60, 300),
    st.integers(60, 300),
    st.integers(-60, 299),
    st.integers(-60, 299),
    st.integers(1, 300),
    st.integers(1, 300),
)
@settings(max_examples=80, deadline=None)
def test_the_text_is_whole_wherever_the_box_lies(
    width: int, height: int, left: int, top: int, wide: int, tall: int
) -> None:
    left, top = min(left, width - 1), min(top, height - 1)
    wide, tall = max(wide, 1 - left), max(tall, 1 - top)  # some of the box lies in the picture
    expected = ink(annotated(flat(width, height), [Mark(TEXT)]))
    assert expected > 20
    assert ink(annotated(flat(width, height), [Mark(TEXT, (left, top, wide, tall))])) == expected


@pytest.mark.parametrize("text", ["a rather long name of a label", "W" * 25])
def test_a_long_text_is_made_to_fit_the_width(text: str) -> None:
    image = annotated(flat(200, 200, (90, 90, 200)), [Mark(text, (150, 100, 40, 40))])
    written = np.flatnonzero(where(image, INK, near=150).any(axis=0))  # small type is faint
    assert written.max() - written.min() > 100
    assert written.max() < 199  # the last letter ends before the picture does


@pytest.mark.parametrize("text", ["微笑", "sourire été", "", "a\nb"])
def test_any_name_can_be_drawn(text: str) -> None:
    assert annotated(flat(100, 100), [Mark(text)]).shape == (100, 100, 3)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 200), (200, 3)])
def test_the_smallest_picture_can_be_drawn_on(width: int, height: int) -> None:
    assert annotated(flat(width, height), [Mark(TEXT, (0, 0, 1, 1))]).shape == (height, width, 3)


def test_lips_are_drawn_where_there_are_no_landmarks() -> None:
    lips = [[number, 5] for number in range(20)]
    answers = [Answer("a", ("x", "y"), (0.2, 0.8), facts={"face": [0] * 4, "lips": lips})]
    assert [mark.points for mark in marks(answers, landmarks=True)] == [lips]
    assert [mark.points for mark in marks(answers, landmarks=False)] == [()]


def test_a_mark_has_the_crop_s_box_else_the_face_s_else_none() -> None:
    answers = [
        Answer("a", ("x", "y"), (0.2, 0.8), facts={"face": [0] * 4, "crop": [1] * 4}),
        Answer("a", ("x", "y"), reason="mouth_too_small", facts={"face": [2] * 4}),
        Answer("a", ("x", "y"), reason="no_face"),
    ]
    assert [(mark.text, mark.box) for mark in marks(answers, landmarks=False)] == [
        ("y 80%", [1] * 4),
        ("mouth_too_small", [2] * 4),
        ("no_face", None),
    ]


@pytest.mark.parametrize(("width", "height", "times"), [(48, 48, 5), (640, 480, 1), (100, 300, 3)])
def test_a_small_picture_is_drawn_on_enlarged(width: int, height: int, times: int) -> None:
    picture, (mark,) = enlarged(flat(width, height), [Mark(TEXT, (1, 2, 3, 4))])
    assert picture.shape == (height * times, width * times, 3)
    assert mark.box == [times, 2 * times, 3 * times, 4 * times]


def test_each_landmark_is_a_dot_with_its_number_beside_it() -> None:
    points = [[40 + 30 * (number % 12), 40 + 40 * (number // 12)] for number in range(68)]
    image = annotated(flat(460, 320, (90, 90, 200)), [Mark("", points=points)])
    for x, y in points:
        assert tuple(image[y, x]) == POINT
        assert where(image[y - 5 : y + 6, x + 3 : x + 16], POINT, near=220).sum() > 3


@pytest.mark.parametrize("text", ["été", "улыбка", "χαμόγελο"])
def test_a_label_of_another_alphabet_is_drawn_in_its_own_letters(text: str) -> None:
    drawn = annotated(flat(400, 300), [Mark(text)])
    spelled = annotated(flat(400, 300), [Mark(text.encode("ascii", "backslashreplace").decode())])
    assert ink(drawn) > 30 and not np.array_equal(drawn, spelled)


def test_a_box_as_tall_as_the_picture_keeps_its_middle_clear_of_the_text() -> None:
    marked = annotated(flat(300, 300), [Mark(TEXT, (0, 0, 300, 300))])
    assert ink(marked) > 20 and (marked[50:250, 50:250] == 255).all()


def test_a_sheet_has_a_row_for_each_name_and_a_cell_for_each_picture() -> None:
    colours = {"none": [(255, 0, 0), (0, 0, 255)], "smile": [(0, 128, 0)], "pouting": []}
    rows = {name: [flat(30, 50, colour) for colour in row] for name, row in colours.items()}
    sheet = contact_sheet(rows, columns=3, side=48)
    assert sheet.shape[0] == 3 * (48 + 4) + 4
    first = sheet.shape[1] - 3 * (48 + 4)
    for place, row in enumerate(colours.values()):
        for column in range(3):
            top, left = 4 + place * 52, first + column * 52
            cell = sheet[top : top + 48, left : left + 48]
            assert (cell == (row[column] if column < len(row) else PAPER)).all()


def test_a_sheet_shows_no_more_than_its_columns() -> None:
    sheet = contact_sheet({"a": [flat(20, 20, (255, 0, 0))] * 9}, columns=2, side=48)
    assert where(sheet, (255, 0, 0), near=1).sum() == 2 * 48 * 48


def test_the_names_of_a_sheet_stay_clear_of_its_pictures() -> None:
    names = {"a very long name of a label": [flat(20, 20, (255, 0, 0))]}
    sheet = contact_sheet(names, columns=1, side=96)
    written = np.flatnonzero(where(sheet, INK).any(axis=0))
    red = np.flatnonzero(where(sheet, (255, 0, 0), near=1).any(axis=0))
    assert written.size
    assert written.max() < red.min()
    assert red.size == 96
