"""Killed at any moment, run by few or many, in one go or in pieces: always the same result."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from pipeline.__main__ import main

State = tuple[dict[str, str], list[tuple[Any, ...]]]


def state(processed: Path) -> State:
    """Digests of all files by path, and all rows of the ledger."""
    paths = [path for path in processed.rglob("*") if path.is_file()]
    bytes_of = {
        str(path.relative_to(processed)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if not path.name.startswith(("ledger.sqlite", ".lock"))
    }
    connection = sqlite3.connect(processed / "ledger.sqlite")
    rows = connection.execute("SELECT * FROM outcome ORDER BY stage, key").fetchall()
    rows += connection.execute("SELECT * FROM made_with ORDER BY stage").fetchall()
    connection.close()
    return bytes_of, rows


def words(raw: Path, processed: Path, workers: int) -> list[str]:
    where = ["--raw", str(raw), "--processed", str(processed)]
    return ["split", *where, "--workers", str(workers), "--format", "both"]


def run(raw: Path, processed: Path, workers: int = 0) -> State:
    assert main(words(raw, processed, workers)) == 0
    return state(processed)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "raw"
    assert main(["sample-data", "--output", str(folder), "--count", "5"]) == 0
    return folder


@pytest.fixture(scope="module")
def undisturbed(raw: Path) -> State:
    bytes_of, rows = run(raw, raw.parent / "undisturbed")
    assert len([path for path in bytes_of if path.startswith("dataset/train/")]) >= 16
    return bytes_of, rows


@pytest.mark.parametrize("workers", [1, 4])
def test_any_number_of_workers_comes_to_the_same(
    workers: int, raw: Path, undisturbed: State, tmp_path: Path
) -> None:
    assert run(raw, tmp_path, workers) == undisturbed


def copy_in_another_order(raw: Path, copy: Path, pieces: int) -> Iterator[None]:
    """Copy the files in some order; yields after each of the pieces."""
    files = sorted((path for path in raw.rglob("*") if path.is_file()), reverse=True)
    random.Random(3).shuffle(files)
    for piece in range(pieces):
        for path in files[piece::pieces]:
            target = copy / path.relative_to(raw)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        yield


def test_files_in_another_order_come_to_the_same(
    raw: Path, undisturbed: State, tmp_path: Path
) -> None:
    for _ in copy_in_another_order(raw, tmp_path / "raw", 1):
        assert run(tmp_path / "raw", tmp_path / "processed") == undisturbed


def test_files_in_five_pieces_come_to_the_same_but_for_which_of_them_are_val(
    raw: Path, undisturbed: State, tmp_path: Path
) -> None:
    for _ in copy_in_another_order(raw, tmp_path / "raw", 5):
        last = run(tmp_path / "raw", tmp_path / "processed")

    def before_split(state: State) -> State:
        files = {path: data for path, data in state[0].items() if "dataset/" not in path}
        return files, [row for row in state[1] if row[0] != "split"]

    def counts(state: State) -> Counter[str]:
        paths = (path.rpartition("/")[0] for path in state[0] if path.startswith("dataset/"))
        return Counter(paths)

    assert before_split(last) == before_split(undisturbed)
    assert counts(last) == counts(undisturbed)


def killed(command: list[str], after: float) -> bool:
    """Run it in a group of its own and kill the group after so many seconds; False if it ended."""
    with subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return True
        assert process.returncode == 0, process.communicate()
        return False


def kill_often(kills: int, seed: int, raw: Path, processed: Path, expected: State) -> None:
    """Kill runs at random moments, anew whenever one got through; each ends in the same state."""
    chance = random.Random(seed)
    command = [sys.executable, "-m", "pipeline", *words(raw, processed, 2)]
    span = 4.0
    while kills:
        if killed(command, chance.uniform(0.2, span)):
            kills -= 1
            continue
        assert state(processed) == expected
        shutil.rmtree(processed)
        span = max(1.5, span * 0.8)  # this machine is fast
    assert run(raw, processed) == expected


def test_a_few_kills_change_nothing(raw: Path, undisturbed: State, tmp_path: Path) -> None:
    kill_often(5, 0, raw, tmp_path / "processed", undisturbed)


@pytest.mark.long
def test_sixty_kills_change_nothing(raw: Path, undisturbed: State, tmp_path: Path) -> None:
    kill_often(60, 1, raw, tmp_path / "processed", undisturbed)
