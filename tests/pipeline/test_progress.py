"""Progress: redrawn on a terminal, a line now and then in a log."""

from __future__ import annotations

import io

import pytest

from pipeline.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.stderr", output)
    with progress(range(20_000), desc="count", mininterval=0) as bar:
        assert sum(1 for _ in bar) == 20_000
    return output.getvalue()


def test_a_log_gets_whole_lines_and_few_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(io.StringIO(), monkeypatch)
    lines = text.splitlines()
    assert len(lines) <= 3 and "\r" not in text
    assert lines[-1].startswith("count: 100%") and "20000/20000" in lines[-1]


def test_figures_beside_a_bar_make_no_further_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    with progress(total=500, desc="train") as bar:
        for epoch in range(500):
            bar.update()
            bar.set_postfix(epoch=epoch)
    lines = log.getvalue().splitlines()
    assert len(lines) <= 3
    assert "epoch=499" in lines[-1]


def test_a_bar_that_is_not_wanted_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    with progress(total=1, desc="train", disable=True) as bar:
        bar.set_postfix(epoch=1)
    assert not log.getvalue()


def test_a_terminal_gets_one_line_that_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(Terminal(), monkeypatch)
    assert text.count("\n") == 1 and text.count("\r") > 100


def test_a_bar_without_items_is_moved_by_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    with progress(total=7, desc="fetch") as bar:
        bar.update(7)
    assert "7/7" in log.getvalue().splitlines()[-1]
