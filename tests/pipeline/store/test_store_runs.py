"""Whole commands on folders in a store: the same bytes as from local folders, whatever happens."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Command
from small_pipeline import picture, put
from small_store import S3, contents, upload

from pipeline.__main__ import main
from pipeline.store import Address, connection
from pipeline.store.lock import StoreLock
from pipeline.store.workbench import StoreWorkbench
from stages.commands.model_choice import resolve_model

WHOLE = ("--region", "whole")  # no face model is needed
Words = Callable[..., list[str]]
State = tuple[dict[str, str], list[Any]]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two labels; some are dropped, and some of them for what they are beside."""
    folder = tmp_path_factory.mktemp("home") / "raw"
    for seed in range(12):
        put(folder / "ab"[seed % 2] / f"{seed}.jpg", picture(seed, shape=(64, 64, 3)))
    put(folder / "a" / "copy.jpg", picture(0, shape=(64, 64, 3)))
    put(folder / "b" / "small.jpg", picture(20))
    put(folder / "b" / "broken.jpg", picture(21)[:300])
    put(folder / "b" / "notes.txt", b"no picture")
    put(folder / "Thumbs.db", b"left behind")
    return folder


def rows(ledger: Path) -> list[Any]:
    """What the stages came to; stamps of raw files differ between a disk and a store."""
    with sqlite3.connect(ledger) as connection:
        columns = "stage, key, label, verdict, reason, facts, output, digest, stamp"
        found = connection.execute(f"SELECT {columns} FROM outcome ORDER BY stage, key").fetchall()
    connection.close()
    return found


@pytest.fixture(scope="module")
def expected(raw: Path) -> State:
    """Pictures, tables and rows as local folders have them."""
    processed = raw.parent / "processed"
    words = ["--raw", str(raw), "--processed", str(processed), "--workers", "0", *WHOLE]
    assert main(["split", *words]) == 0
    files = {
        path.relative_to(processed).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in processed.rglob("*")
        if path.suffix in (".jpg", ".csv")
    }
    return files, rows(processed / "ledger.sqlite")


@pytest.fixture
def bucket(s3: S3, raw: Path) -> Address:
    """A bucket with those pictures in its raw/."""
    connection.connect.cache_clear()
    found = s3.bucket()
    upload(raw, found / "raw")
    s3.reset()
    return found


@pytest.fixture
def words(bucket: Address, tmp_path: Path) -> Words:
    """The words of a command in that bucket, on a machine of that name."""
    return lambda command, machine="first", workers=0: [
        *(command, "--raw", f"{bucket}/raw", "--processed", f"{bucket}/processed", *WHOLE),
        *("--scratch", str(tmp_path / machine), "--workers", str(workers)),
    ]


def state(bucket: Address, folder: Path) -> State:
    """As `expected`, from the store alone; `folder` is for the ledger."""
    processed = bucket / "processed"
    (processed / "ledger.sqlite").download(folder / "stored.sqlite")
    files = {
        name: hashlib.sha256(data).hexdigest()
        for name, data in contents(processed).items()
        if name.endswith((".jpg", ".csv"))
    }
    return files, rows(folder / "stored.sqlite")


def test_training_from_a_store_leaves_there_what_it_leaves_in_a_folder_and_is_not_done_twice(
    bucket: Address,
    words: Words,
    expected: State,
    s3: S3,
    pipeline: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = contents(bucket / "raw")
    done = pipeline(*words("train", workers=2), "--epochs", "1")
    assert f"model in {bucket}/processed/runs/default;" in done.stdout
    assert state(bucket, tmp_path) == expected and contents(bucket / "raw") == before
    names = contents(bucket / "processed").keys()
    assert not [name for name in names if ".new-" in name or name.startswith("cache/")]
    s3.reset()
    assert main([*words("train", "second"), "--epochs", "1"]) == 0
    output = capsys.readouterr().out
    assert output.count("(up to date)") == 4 and "train: up to date." in output
    assert {name for name in s3.requests if name.startswith(("PUT ", "DELETE "))} == {"PUT .lock"}
    model = resolve_model(None, StoreWorkbench(bucket / "processed", tmp_path / "third"))
    weights = (bucket / "processed/runs/default/best.safetensors").read_bytes()
    assert (model / "best.safetensors").read_bytes() == weights


def kill_often(kills: int, seed: int, bucket: Address, words: Words, server: S3) -> None:
    """Kill commands on two machines in turn, in the middle of their requests."""
    chance = random.Random(seed)
    for number in range(kills):
        server.reset()
        most = chance.randrange(10, 90)
        with subprocess.Popen(
            [sys.executable, "-m", "pipeline", *words("split", f"machine {number % 2}", 2)],
            cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as running:  # fmt: skip
            while running.poll() is None and server.requests.total() < most:
                time.sleep(0.005)
            with suppress(ProcessLookupError):  # it was done before
                os.killpg(running.pid, signal.SIGKILL)
        (bucket / "processed/.lock").write_bytes(b"")  # as after a long silence


def test_what_killed_commands_leave_is_finished_to_the_same_bytes_on_any_machine(
    bucket: Address, words: Words, expected: State, s3: S3, tmp_path: Path
) -> None:
    kill_often(1, 0, bucket, words, s3)
    for machine in ("third", "machine 0"):
        assert main(words("split", machine)) == 0
        assert state(bucket, tmp_path) == expected


@pytest.mark.long
def test_forty_kills_change_nothing(
    bucket: Address, words: Words, expected: State, s3: S3, tmp_path: Path
) -> None:
    for seed in range(10):
        kill_often(4, seed, bucket, words, s3)
        assert main(words("split", "third")) == 0
        assert state(bucket, tmp_path) == expected
        for entry in (bucket / "processed").entries():
            (bucket / "processed" / entry.name).unlink()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come soon one after the other."""
    backoff = {
        "init_backoff": timedelta(milliseconds=5),
        "max_backoff": timedelta(milliseconds=20),
        "base": 2,
    }
    monkeypatch.setattr(connection, "RETRIES", {**connection.RETRIES, "backoff": backoff})


@pytest.mark.usefixtures("impatient")
def test_a_store_that_fails_one_request_in_ten_changes_nothing(
    bucket: Address, words: Words, expected: State, s3: S3, tmp_path: Path
) -> None:
    s3.refuses = lambda number: number % 10 == 0
    assert main(words("split")) == 0
    s3.reset()
    assert state(bucket, tmp_path) == expected


@pytest.mark.usefixtures("impatient")
def test_a_store_that_fails_for_good_ends_the_command_with_a_sentence_and_costs_no_picture(
    bucket: Address,
    words: Words,
    expected: State,
    s3: S3,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    s3.refuses = lambda number: number > 50
    assert main(words("split")) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "pictures/s" not in line]
    assert line.startswith(f"{bucket} does not answer (Server returned non-2xx status code: 503 S")
    assert line.endswith("run the same command again; it goes on from here")
    s3.reset()
    assert main(words("split")) == 0
    assert state(bucket, tmp_path) == expected


def test_the_second_of_two_commands_is_told_who_is_at_work(
    bucket: Address, words: Words, capsys: pytest.CaptureFixture[str]
) -> None:
    with StoreLock(bucket / "processed", "another machine"):
        assert main(words("split")) == 1
        assert main(words("status")) == 0  # it only reads
    assert f"{bucket}/processed is in use by process {os.getpid()} on " in capsys.readouterr().err


def test_wrong_keys_end_a_command_with_one_sentence(
    bucket: Address, words: Words, s3: S3, pipeline: Command
) -> None:
    with s3.closed():
        done = pipeline(*words("split"), code=1)
    assert (
        done.stderr.strip()
        == f"{bucket} refuses the credentials (InvalidAccessKeyId): correct them"
    )


@pytest.mark.parametrize("command", ["review", "reset", "collect", "credits"])
def test_a_command_for_local_folders_says_so(
    command: str, bucket: Address, words: Words, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--label", "a", "--query", "a"] if command == "collect" else []
    assert main([*words(command), *given]) == 2
    assert f"{command} works on local folders only, not on {bucket}/" in capsys.readouterr().err


def test_changed_settings_and_pictures_redo_what_depends_on_them(
    bucket: Address, words: Words, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words("split")) == 0
    (bucket / "raw/a/0.jpg").unlink()
    (bucket / "raw/a/2.jpg").write_bytes(picture(30, shape=(64, 64, 3)))
    assert main([*words("split", "second"), "--screen.min-side", "10"]) == 0
    assert "screen.min_side 32 → 10" in capsys.readouterr().out
    local = tmp_path / "raw"
    for name, data in contents(bucket / "raw").items():
        put(local / name, data)
    processed = tmp_path / "processed"
    asked = ["--raw", str(local), "--processed", str(processed), "--workers", "0", *WHOLE]
    assert main(["split", *asked, "--screen.min-side", "10"]) == 0
    files, stored = state(bucket, tmp_path)
    assert stored == rows(processed / "ledger.sqlite")
    assert files == {
        path.relative_to(processed).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in processed.rglob("*")
        if path.suffix in (".jpg", ".csv")
    }


KILLED_AT_THE_FIRST_PICTURE = """
import os, sys
from pipeline.__main__ import main
from pipeline.store import Address, connection
Address.copy_from = lambda *_: os._exit(9)
main(sys.argv[1:])
"""


def test_no_row_in_the_store_outlives_its_picture(
    bucket: Address, words: Words, tmp_path: Path
) -> None:
    assert main(words("split")) == 0
    command = [*words("split"), "--screen.min-side", "10"]
    code = [sys.executable, "-c", KILLED_AT_THE_FIRST_PICTURE]
    assert subprocess.run([*code, *command], cwd=ROOT, capture_output=True).returncode == 9
    _, stored = state(bucket, tmp_path)
    assert not [row for row in stored if row[0] == "screen"] and stored


def test_report_sheet_and_check_read_a_store(
    bucket: Address, words: Words, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words("split")) == 0
    assert main(words("report")) == main(words("sheet", "second")) == 0
    pages = contents(bucket / "processed")
    assert b"<html" in pages["report.html"] and pages["sheet.png"].startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(["check", f"{bucket}/raw", "--json", "--workers", "0"]) == 0
    assert json.loads(capsys.readouterr().out) == {"pairs": []}


def test_a_store_in_memory_is_for_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--raw", "memory://test/raw", "--workers", "2"]) == 2
    assert "give --workers 0" in capsys.readouterr().err
