"""The doctor names what is wrong with a machine and the way out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.commands import doctor

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_machine_that_runs_the_tests_is_well(pipeline: Command) -> None:
    out = pipeline("doctor").stdout
    assert "NOT WELL" not in out
    assert "dlib" in out and "torch" in out


def test_dlib_that_this_processor_cannot_run_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n"
    (tmp_path / "dlib.py").write_text(dies, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "AVX" in doctor.dlib()
    assert "make setup DLIB=source" in doctor.dlib()


def test_dlib_that_does_not_load_is_named_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dlib.py").write_text("raise ImportError('no libX11')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "dlib does not load (ImportError: no libX11)" in doctor.dlib()


def test_both_of_dlib_s_distributions_at_once_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dlib", "dlib_bin"):
        folder = tmp_path / f"{name}-20.0.1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: 20.0.1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert "dlib and dlib-bin overwrite each other" in doctor.dlib()
