"""The lock on a folder: a second holder is told who has it, and a killed one has it no more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_files import put

from pipeline.folder_lock import hold
from pipeline.trouble import Trouble


def test_the_second_holder_is_told_who_has_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "processed"
    with (
        hold(folder),
        pytest.raises(Trouble, match=rf"processed is in use by process {os.getpid()}: wait"),
        hold(folder),
    ):
        pytest.fail("two held one folder")
    with hold(folder):  # free again
        pass


def test_trouble_leaves_nothing_half_written_behind_and_all_else_as_it_was(tmp_path: Path) -> None:
    halves = [put(tmp_path / name) for name in (".new-12-x.jpg", "a/b/.new-345-y.jpg")]
    others = [put(tmp_path / name) for name in ("a/x.jpg", "a/.new-predictions.csv")]
    with pytest.raises(Trouble, match="the disk is full"), hold(tmp_path):
        raise Trouble("the disk is full")
    assert not any(half.exists() for half in halves)
    assert all(other.exists() for other in others)


def test_a_holder_in_another_process_is_named_and_its_death_frees_the_folder(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from pipeline.folder_lock import hold\n"
        "with hold(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        with pytest.raises(Trouble, match=f"process {other.pid}:"), hold(tmp_path):
            pass
        other.kill()
        other.wait()
        with hold(tmp_path):
            assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_a_processed_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "processed")
    with pytest.raises(Trouble, match="processed"), hold(path):
        pass
