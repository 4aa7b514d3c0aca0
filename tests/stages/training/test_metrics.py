"""Metrics against numbers worked out by hand, and against what must hold of any answers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stages.training.intervals import if_wide, wilson
from stages.training.metrics import calibration_error, measure, table


def sure_of(shares: list[list[float]]) -> Tensor:
    """Logits whose softmax is these shares."""
    return torch.tensor(shares, dtype=torch.float64).log().float()


#       true: a       a       a       b       b       c
SHARES = [
    [0.8, 0.1, 0.1],
    [0.7, 0.2, 0.1],
    [0.1, 0.6, 0.3],
    [0.1, 0.8, 0.1],
    [0.5, 0.4, 0.1],
    [0.05, 0.05, 0.9],
]
CLASSES = torch.tensor([0, 0, 0, 1, 1, 2])


def test_confusion_counts_true_labels_in_rows_and_answers_in_columns() -> None:
    assert measure(sure_of(SHARES), CLASSES, "abc").confusion == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_precision_recall_and_f1_are_those_worked_out_by_hand() -> None:
    metrics = measure(sure_of(SHARES), CLASSES, "abc")
    assert metrics.precision == pytest.approx({"a": 2 / 3, "b": 1 / 2, "c": 1})
    assert metrics.recall == pytest.approx({"a": 2 / 3, "b": 1 / 2, "c": 1})
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert metrics.count == 6 and metrics.accuracy == pytest.approx(4 / 6)


def test_precision_and_recall_are_not_mixed_up() -> None:
    logits = sure_of([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])
    metrics = measure(logits, torch.tensor([0, 1, 1, 1]), ["a", "b"])
    assert metrics.precision == pytest.approx({"a": 1 / 3, "b": 1})
    assert metrics.recall == pytest.approx({"a": 1, "b": 1 / 3})
    assert metrics.macro_f1 == pytest.approx(1 / 2)


def test_a_label_without_pictures_is_named_and_left_out_of_the_macro_figure() -> None:
    metrics = measure(sure_of([[0.9, 0.05, 0.05]] * 2), torch.tensor([0, 0]), "abc")
    assert metrics.precision == {"a": 1, "b": 0, "c": 0} == metrics.recall
    assert metrics.macro_f1 == pytest.approx(1) and metrics.absent == ["b", "c"]
    lines = table(metrics).splitlines()
    assert lines[1] == "no pictures of b, c: the figures say nothing of it"
    assert lines[4].split() == ["b", "0.000", "–", "0", "0", "0"]


def test_a_label_that_is_present_but_never_predicted_counts_in_the_macro_figure() -> None:
    metrics = measure(sure_of([[0.9, 0.1]] * 2), torch.tensor([0, 1]), "ab")
    assert metrics.macro_f1 == pytest.approx(1 / 3) and metrics.absent == []


def test_loss_is_the_mean_cross_entropy_of_a_picture() -> None:
    truth = [0.8, 0.7, 0.1, 0.8, 0.4, 0.9]
    expected = -sum(math.log(share) for share in truth) / 6
    assert measure(sure_of(SHARES), CLASSES, "abc").loss == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [  # scipy.stats.binomtest(right, count).proportion_ci(method="wilson")
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (5, 10, 0.2365931, 0.7634069),
        (98, 100, 0.9299882, 0.9944980),
        (1, 1, 0.2065493, 1.0),
    ],
)
def test_the_interval_is_wilsons(right: int, count: int, low: float, high: float) -> None:
    assert wilson(right, count) == pytest.approx((low, high), abs=2e-6)


@pytest.mark.parametrize(
    ("accuracy", "count", "text"),
    [
        (1.0, 10, "; of only 10 pictures: 95% interval 72.2% to 100.0%"),
        (0.9, 100, "; of only 100 pictures: 95% interval 82.6% to 94.5%"),
        (0.97, 1000, ""),
    ],
)
def test_a_wide_interval_is_told(accuracy: float, count: int, text: str) -> None:
    assert if_wide(accuracy, count) == text


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(max_examples=200, deadline=None)
def test_the_interval_holds_the_share_and_stays_between_0_and_1(numbers: tuple[int, int]) -> None:
    right, count = numbers
    low, high = wilson(right, count)
    assert 0 <= low <= right / count + 1e-12 and right / count - 1e-12 <= high <= 1
    assert low < high
    assert high - low <= sum((-1) ** side * one for side, one in enumerate(wilson(1, 2)[::-1]))


def test_calibration_error_is_the_gap_of_each_bin_by_its_share_of_answers() -> None:
    # bins of a fifteenth: [0.533, 0.6) holds 0.55 twice, one right; [0.933, 1] holds 0.95, wrong
    logits = sure_of([[0.55, 0.45], [0.55, 0.45], [0.95, 0.05]])
    expected = (2 * abs(0.55 - 0.5) + 1 * abs(0.95 - 0)) / 3
    assert calibration_error(logits, torch.tensor([0, 1, 1])) == pytest.approx(expected, abs=1e-6)


def test_answers_that_are_surely_right_are_calibrated() -> None:
    logits = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
    assert calibration_error(logits, torch.tensor([0, 1])) == pytest.approx(0, abs=1e-9)
    assert calibration_error(logits, torch.tensor([1, 0])) == pytest.approx(1, abs=1e-9)


@st.composite
def answers(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    labels, count = draw(st.integers(2, 5)), draw(st.integers(1, 30))
    logits = draw(st.lists(st.floats(-9, 9), min_size=labels * count, max_size=labels * count))
    classes = draw(st.lists(st.integers(0, labels - 1), min_size=count, max_size=count))
    return torch.tensor(logits).reshape(count, labels), torch.tensor(classes), labels


@given(answers())
@settings(max_examples=60, deadline=None)
def test_what_must_hold_of_any_answers(case: tuple[Tensor, Tensor, int]) -> None:
    logits, classes, labels = case
    metrics = measure(logits, classes, "abcde"[:labels])
    assert sum(map(sum, metrics.confusion)) == metrics.count == len(classes)
    assert [sum(row) for row in metrics.confusion] == torch.bincount(
        classes, minlength=labels
    ).tolist()
    trace = sum(metrics.confusion[place][place] for place in range(labels))
    assert metrics.accuracy == pytest.approx(trace / len(classes))
    assert metrics.interval[0] <= metrics.accuracy + 1e-12
    assert metrics.interval[1] >= metrics.accuracy - 1e-12
    shares = [*metrics.precision.values(), *metrics.recall.values(), metrics.macro_f1, metrics.ece]
    assert all(0 <= share <= 1 + 1e-6 for share in shares)


def test_the_table_says_it_to_a_person() -> None:
    lines = table(measure(sure_of(SHARES), CLASSES, ["none", "smile", "x"])).splitlines()
    assert lines[0].startswith("accuracy 66.7% (95%: 30.0% to 90.3%, of 6), macro F1 0.722, loss ")
    assert lines[1].split() == ["precision", "recall", "predicted:", "none", "smile", "x"]
    assert lines[2].split() == ["none", "0.667", "0.667", "2", "1", "0"]
    assert lines[4].split() == ["x", "1.000", "1.000", "0", "0", "1"]
