"""Executors: one picture's misfortune is its own, and interruption or company change no result."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from small_pipeline import Home, Mark, Take, chain, picture

from pipeline.executors import Lost
from pipeline.executors.processes import Processes
from pipeline.executors.serial import Serial
from pipeline.sample import Decision, Reject, Sample
from pipeline.step import Step
from stages.dedupe import Dedupe


class TwoPartError(Exception):
    """Pickles but cannot be unpickled: its constructor takes more than it hands on."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def twice(number: int) -> int:
    if number == 3:
        raise ValueError("three is bad")
    return 2 * number


def strange(number: int) -> int:
    if number == 3:
        raise TwoPartError("three", "is bad")
    return 2 * number


def slow_or_dead(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 2:
        time.sleep(60)
    return os.getpid()


def ctrl_c_is_blocked(_: int) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def fatal_late(number: int) -> int:
    if number == 251:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@dataclass(frozen=True)
class Trap(Take):
    """Goes wrong in four ways, by the picture's name."""

    def __call__(self, sample: Sample) -> Sample:
        match Path(sample.key).stem:
            case "raise":
                raise RuntimeError(f"cannot cope with {sample.key}")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(60)
            case "reject":
                raise Reject("unlucky", digits=13)
        return super().__call__(sample)


@dataclass(frozen=True)
class Stopped(Take):
    """As Take, but Ctrl-C comes at one picture."""

    def __call__(self, sample: Sample) -> Sample:
        if sample.key == "b/2.jpg":
            raise KeyboardInterrupt
        return super().__call__(sample)


@dataclass(frozen=True)
class StoppedDedupe(Dedupe):
    """As Dedupe, but Ctrl-C comes before it has decided."""

    def __call__(self, samples: Sequence[Sample]) -> Iterable[Decision]:
        raise KeyboardInterrupt


@dataclass(frozen=True)
class Unwritable(Mark):
    """Rejects with a measurement that no JSON holds, as a careless stage may."""

    def __call__(self, sample: Sample) -> Sample:
        if sample.key == "a/1.jpg":
            raise Reject("dark", mean=np.float32(3.5))
        return super().__call__(sample)


@dataclass(frozen=True)
class NamesFile(Take):
    """Fails with the file's name in the message."""

    def __call__(self, sample: Sample) -> Sample:
        raise ValueError(f"cannot read {sample.file}")


def lost_as(result: object) -> str:
    return result.reason if isinstance(result, Lost) else ""


def fill(home: Home, names: Iterable[str]) -> None:
    """A picture a name; always the same bytes and times, whatever the order of names."""
    for name in names:
        path = home.put(f"a/{name}.jpg", picture(sum(name.encode())))
        os.utime(path, ns=(10**18, 10**18))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_takes_the_place_of_one_result(workers: int) -> None:
    with Processes(workers) if workers else Serial() as executor:
        results = dict(executor.map(twice, iter(range(40))))
    failure = results.pop(3)
    assert isinstance(failure, ValueError) and failure.args == ("three is bad",)
    assert results == {number: 2 * number for number in range(40) if number != 3}


def test_an_exception_that_does_not_unpickle_is_one_picture_s_too() -> None:
    with Processes(2, timeout=20.0) as executor:
        results = dict(executor.map(strange, range(40)))
    assert "three is bad" in str(results.pop(3))
    assert results == {number: 2 * number for number in range(40) if number != 3}


def test_a_dead_and_a_hanging_worker_are_replaced_and_the_pool_serves_on() -> None:
    with Processes(2, timeout=4.0) as executor:
        results = dict(executor.map(slow_or_dead, range(8)))
        assert lost_as(results.pop(1)) == "crashed"
        assert lost_as(results.pop(2)) == "timed_out"
        pids = set(results.values())
        assert all(isinstance(pid, int) for pid in pids) and os.getpid() not in pids
        assert dict(executor.map(twice, [5, 6])) == {5: 10, 6: 12}


def test_no_worker_is_started_for_nothing_and_serial_stays_in_this_process() -> None:
    with Processes(2) as executor:
        assert list(executor.map(twice, [])) == []
        assert executor._pool is None
    with Serial() as serial:
        assert list(serial.map(slow_or_dead, [7])) == [(7, os.getpid())]


def test_processes_take_no_more_than_a_few_items_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterable[int]:
        for number in range(200):
            taken.append(number)
            yield number

    with Processes(1) as executor:
        results = executor.map(twice, items())
        next(iter(results))
        assert len(taken) <= 8
        assert len(list(results)) == 199


def test_one_picture_s_misfortune_is_one_row_and_neighbours_are_unharmed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    good = [f"good{number}" for number in range(12)]
    fill(home, [*good, "raise", "kill", "hang", "reject"])
    steps = [Step("take", Trap(), "taken", None)]
    lines = home.run(steps, Processes(2, timeout=4.0))
    assert lines == ["take: 16 in, 12 kept, 1 rejected (unlucky 1), 3 error"]
    assert home.rows("key, verdict, reason", "verdict != 'kept'") == [
        ("a/hang.jpg", "error", "timed_out"),
        ("a/kill.jpg", "error", "crashed"),
        ("a/raise.jpg", "error", "failed"),
        ("a/reject.jpg", "rejected", "unlucky"),
    ]
    for name in good:
        assert home.output("take", f"a/{name}.jpg").read_bytes() == picture(sum(name.encode()))
    log = (tmp_path / "processed" / "errors.log").read_text()
    assert sorted(re.findall(r"^take: (.*)", log, re.M)) == [
        "a/hang.jpg",
        "a/kill.jpg",
        "a/raise.jpg",
    ]
    assert "RuntimeError: cannot cope with a/raise.jpg" in log and "in __call__\n" in log
    before = home.rows(where="verdict != 'error'")
    (tmp_path / "raw" / "a" / "hang.jpg").unlink()
    home.run(steps, Processes(2, timeout=4.0))  # errors are tried again, the rest is settled
    added = (tmp_path / "processed" / "errors.log").read_text().removeprefix(log)
    assert sorted(re.findall(r"^take: (.*)", added, re.M)) == ["a/kill.jpg", "a/raise.jpg"]
    assert home.rows(where="verdict != 'error'") == before


def test_company_and_order_of_creation_change_neither_rows_nor_bytes(tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(20)]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    alone, together = Home(tmp_path / "one"), Home(tmp_path / "two")
    fill(alone, names)
    fill(together, reversed(names))
    alone.run(chain())
    together.run(chain(), Processes(2))
    assert alone.rows() == together.rows() and len(alone.rows()) == 5 * 20
    assert alone.tree() == together.tree() and len(alone.tree()) == 5 * 20 + 1


def test_an_interrupted_run_goes_on_to_the_same_rows_and_bytes(home: Home) -> None:
    rows, tree = home.rows(), home.tree()
    home.calls()
    for path in (home.path / "raw").rglob("*.jpg"):
        path.touch()  # all to be done again
    with pytest.raises(KeyboardInterrupt):
        home.run(chain(home.log, take=Stopped(home.log)))
    done = home.calls()
    assert done == ["take a/0.jpg", "take a/1.jpg", "take a/copy.jpg"]
    home.run()
    assert home.calls() == ["take b/2.jpg", "take b/3.jpg", "take b/dark.jpg"]
    assert home.tree() == tree
    source = 5  # the one column that tells of the touch
    stable = [row[:source] + row[source + 1 :] for row in rows]
    assert [row[:source] + row[source + 1 :] for row in home.rows()] == stable


def test_a_whole_set_stage_interrupted_after_a_picture_vanished_still_decides_anew(
    home: Home,
) -> None:
    (home.path / "raw" / "a" / "0.jpg").unlink()  # now a/copy.jpg is no copy any more
    steps = chain(home.log)
    stopped = Step("unique", StoppedDedupe(), "unique", "mark", whole_set=True)
    with pytest.raises(KeyboardInterrupt):
        home.run([*steps[:2], stopped])
    home.run(steps)
    assert home.rows("key, verdict", "stage = 'unique'") == [
        ("a/1.jpg", "kept"),
        ("a/copy.jpg", "kept"),
        ("b/2.jpg", "kept"),
        ("b/3.jpg", "kept"),
    ]


def test_a_run_stopped_between_any_two_stages_ends_in_the_same_state(home: Home) -> None:
    rows, tree = home.rows(), home.tree()

    for stage in ("take", "mark", "unique", "lips", "split"):

        def stop(line: str, stage: str = stage) -> None:
            if line.startswith(stage):
                raise KeyboardInterrupt

        (home.path / "processed" / "ledger.sqlite").unlink()
        with pytest.raises(KeyboardInterrupt):
            home.run(chain(home.log), say=stop)
        home.run()
        assert (home.rows(), home.tree()) == (rows, tree)


def test_a_measurement_that_cannot_be_recorded_costs_one_picture_not_the_run(home: Home) -> None:
    steps = chain(home.log)
    home.run([steps[0], Step("mark2", Unwritable(), "marked2", "take")])
    assert home.rows("key, verdict, reason", "stage = 'mark2' AND verdict != 'kept'") == [
        ("a/1.jpg", "error", "failed"),
        ("b/dark.jpg", "rejected", "dark"),
    ]


def test_an_error_that_names_a_file_of_odd_bytes_is_logged_like_any_other(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.put("a/plain.jpg", picture(1))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/raw/a/caf\xe9.jpg")).write_bytes(picture(2))
    home.run([Step("take", NamesFile(), "taken", None)])
    assert home.rows("key, verdict, reason") == [
        (r"a/caf\xe9.jpg", "error", "failed"),
        ("a/plain.jpg", "error", "failed"),
    ]
    assert r"caf\xe9.jpg" in (tmp_path / "processed" / "errors.log").read_text()


def test_a_chunk_that_fails_is_done_one_by_one() -> None:
    """Hundreds of quick items travel together; one of them ends its worker."""
    with Processes(2, timeout=20.0) as executor:
        results = dict(executor.map(fatal_late, range(300)))
    assert lost_as(results.pop(251)) == "crashed"
    assert results == {number: number for number in range(300) if number != 251}


def test_a_worker_gets_no_ctrl_c_even_while_it_starts() -> None:
    """A signal to the whole group finds it blocked from the start, so no worker prints a trace."""
    with Processes(1) as executor:
        assert dict(executor.map(ctrl_c_is_blocked, [1])) == {1: True}
    assert not ctrl_c_is_blocked(1)
