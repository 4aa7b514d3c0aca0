"""Faults of the machine, as they are: workers that die, disks that are full, closed or foreign."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from small_pipeline import Home, Take, picture

from pipeline.__main__ import main
from pipeline.executors.processes import Processes
from pipeline.sample import Sample
from pipeline.step import Step
from pipeline.trouble import Trouble

WHOLE = ("--region", "whole")  # no face model is needed
MOUNT = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Trap(Take):
    """Where the file `armed` is, ends its worker in one way or another, by the picture's name."""

    def __call__(self, sample: Sample) -> Sample:
        armed = (sample.file.parents[2] / "armed").exists()
        match Path(sample.key).stem if armed else "":
            case "segfault":
                ctypes.string_at(0)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(60)
            case "eat":
                np.ones(10_000_000_000, np.uint8)
            case "nibble":
                eaten = []
                while True:
                    eaten.append(bytes(1_000_000))
        return super().__call__(sample)


def test_each_fault_of_a_worker_costs_one_picture_and_is_tried_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    good = [f"good{number:02}" for number in range(20)]
    faults = ("eat", "hang", "kill", "nibble", "segfault")
    for name in (*good, *faults):
        home.put(f"a/{name}.jpg", picture(sum(name.encode())))
    steps = [Step("take", Trap(), "taken", None)]
    (tmp_path / "armed").touch()
    (line,) = home.run(steps, Processes(2, timeout=3.0))
    assert line == "take: 25 in, 20 kept, 0 rejected, 5 error"
    assert home.rows("key, reason", "verdict = 'error'") == [
        ("a/eat.jpg", "out_of_memory"),
        ("a/hang.jpg", "timed_out"),
        ("a/kill.jpg", "crashed"),
        ("a/nibble.jpg", "out_of_memory"),
        ("a/segfault.jpg", "crashed"),
    ]
    for name in good:
        assert home.output("take", f"a/{name}.jpg").read_bytes() == picture(sum(name.encode()))
    before = home.rows(where="verdict = 'kept'")
    (tmp_path / "armed").unlink()
    assert home.run(steps) == ["take: 25 in, 25 kept, 0 rejected"]
    assert set(before) < set(home.rows())


@contextmanager
def mounted(folder: Path, options: str = "", flags: int = 0) -> Iterator[Path]:
    """A file system in memory of its own at this folder, where that is allowed here."""
    folder.mkdir(parents=True, exist_ok=True)
    target = os.fsencode(folder)
    if MOUNT.mount(b"tmpfs", target, b"tmpfs", flags, options.encode()):
        pytest.skip(f"mounting is refused: {errno.errorcode[ctypes.get_errno()]}")
    try:
        yield folder
    finally:
        MOUNT.umount2(target, 2)


def home_of(folder: Path, count: int) -> tuple[Home, list[str]]:
    """Pictures of some 50 kB each, and the words that prepare them."""
    home = Home(folder)
    for seed in range(count):
        home.put(f"{'ab'[seed % 2]}/{seed}.jpg", picture(seed, shape=(160, 160, 3)))
    where = ["--raw", str(folder / "raw"), "--processed", str(folder / "processed")]
    return home, [*where, *WHOLE]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_full_disk_is_said_leaves_no_half_file_and_the_run_goes_on_when_there_is_room(
    workers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, words = home_of(tmp_path, 60)
    command = ["split", *words, "--workers", workers]
    with mounted(tmp_path / "processed", "size=1500k") as processed:
        ballast = processed / "ballast"
        ballast.write_bytes(bytes(300_000))
        assert main(command) == 1
        lines = [line for line in capsys.readouterr().err.splitlines() if "pictures/s" not in line]
        (sentence,) = [line for line in lines if "run the same command again" in line]
        assert str(processed) in sentence and re.search("No space left|disk is full", sentence)
        assert not any("Traceback" in line for line in lines)
        for path in processed.rglob("*.jpg"):
            assert path.read_bytes() == home.path.joinpath(*source(home, path)).read_bytes()
        ballast.unlink()
        assert MOUNT.mount(b"", os.fsencode(processed), b"", 32, b"size=50m") == 0  # remount
        assert main(command) == 0
        assert len(home.rows("key", "stage = 'split' AND verdict = 'kept'")) == 60
        rows, tree = home.rows(), home.tree()
    assert main(["split", *words, "--workers", "0"]) == 0
    assert (home.rows(), home.tree()) == (rows, tree)


@dataclass(frozen=True)
class Brim(Take):
    """Finds the disk full at one picture, while a file beside comes and goes."""

    def __call__(self, sample: Sample) -> Sample:
        if sample.key == "a/2.jpg":
            folder = Path(str(sample.file)).parents[2] / "processed" / "taken" / "a"
            (folder / ".new-1-9.jpg").symlink_to("gone")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().__call__(sample)


def test_a_file_that_goes_while_the_room_is_reckoned_changes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name in "0123":
        home.put(f"a/{name}.jpg", picture(int(name)))
    with pytest.raises(Trouble, match=r"MB are free for the 2 pictures that take has to do"):
        home.run([Step("take", Brim(), "taken", None)])


def source(home: Home, output: Path) -> Sequence[str]:
    """Where below the home a whole picture came from: `<number>-<digest>.jpg` of its label."""
    return "raw", output.parent.name, f"{output.name.split('-')[0]}.jpg"


def test_a_processed_folder_that_may_not_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, words = home_of(tmp_path, 2)
    with mounted(tmp_path / "processed", flags=1) as processed:  # read-only
        assert main(["split", *words]) == 1
        message = capsys.readouterr().err
        assert message.strip() == f"{processed} cannot be written to (Read-only file system)"


def test_where_no_link_can_be_had_pictures_are_copied(tmp_path: Path) -> None:
    home, words = home_of(tmp_path, 4)
    with mounted(tmp_path / "processed" / "screened"):  # no link leads to another file system
        assert main(["split", *words, "--workers", "0"]) == 0
        rows, tree = home.rows(), home.tree()
        for key in ("a/0.jpg", "b/3.jpg"):
            screened, normal = (home.output(name, key) for name in ("screen", "normalize"))
            assert screened.stat().st_dev != normal.stat().st_dev
            assert screened.read_bytes() == normal.read_bytes()
    (tmp_path / "processed").rename(tmp_path / "aside")
    assert main(["split", *words, "--workers", "0"]) == 0
    assert (home.rows(), home.tree()) == (rows, tree)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_asked_to_end_does_so_at_once_and_says_how_to_go_on(
    number: signal.Signals, tmp_path: Path
) -> None:
    home, words = home_of(tmp_path, 300)
    command = [sys.executable, "-m", "pipeline", "split", *words, "--workers", "2"]
    made = tmp_path / "processed" / "normalized"
    with subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        while running.poll() is None and len(list(made.glob("*/*.jpg"))) < 10:
            time.sleep(0.01)
        os.killpg(running.pid, number)  # as a terminal does: everyone gets it
        signalled = time.monotonic()
        _, output = running.communicate()
    assert time.monotonic() - signalled < 2
    assert running.returncode == 1 and b"interrupted: run the same command again" in output
    assert b"Traceback" not in output
    assert main(["split", *words, "--workers", "0"]) == 0
    assert len(home.rows("key", "stage = 'split' AND verdict = 'kept'")) == 300
