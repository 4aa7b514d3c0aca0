"""The lock on a place in a store: who gets it, who is told what, and what a kill leaves."""

from __future__ import annotations

import os
import re
import threading
from contextlib import ExitStack, suppress

import pytest
from small_store import S3

from pipeline.store import Address, StoreTrouble, lock
from pipeline.store.lock import StoreLock
from pipeline.trouble import Trouble


@pytest.fixture(params=["s3", "memory"])
def root(request: pytest.FixtureRequest, s3: S3) -> Address:
    return s3.bucket() if request.param == "s3" else Address(f"memory://{request.node.name}")


def test_the_second_command_is_told_who_has_the_place_and_gets_it_afterwards(
    root: Address,
) -> None:
    sentence = rf"{re.escape(str(root))} is in use by process {os.getpid()} on .*: wait for it"
    for _ in range(2):
        with (
            StoreLock(root, "here"),
            pytest.raises(Trouble, match=sentence),
            StoreLock(root, "elsewhere"),
        ):
            pytest.fail("two have one place")
    assert [entry.name for entry in root.entries()] == [".lock"]


def killed(root: Address, home: str) -> StoreLock:
    """A holder that gives no sign of life and does not leave the lock."""
    holder = StoreLock(root, home)
    holder.__enter__()
    holder._end.set()
    return holder


def test_a_command_that_was_killed_here_is_followed_at_once(root: Address) -> None:
    killed(root, "here")
    with StoreLock(root, "here") as follower:
        follower.check()


def test_one_that_was_killed_elsewhere_is_followed_after_a_silence_and_stops_if_it_lives(
    root: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = killed(root, "elsewhere")
    with pytest.raises(Trouble, match="is in use by"), StoreLock(root, "here"):
        pass
    monkeypatch.setattr(lock, "SILENCE", 0.0)
    with StoreLock(root, "here") as follower:
        monkeypatch.setattr(lock, "BEAT", -1.0)
        with pytest.raises(StoreTrouble, match="was taken over by another command"):
            slow.check()
        follower.check()
        slow.__exit__()  # takes nothing from the follower
        follower.check()


def test_of_many_who_follow_a_killed_one_at_once_one_gets_the_place(
    root: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(root, "elsewhere")
    monkeypatch.setattr(lock, "SILENCE", 0.0)
    start, held = threading.Barrier(6), []

    def follow(number: int) -> None:
        start.wait()
        with suppress(Trouble):
            held.append(open_locks.enter_context(StoreLock(root, f"home {number}")))

    with ExitStack() as open_locks:
        threads = [threading.Thread(target=follow, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        monkeypatch.setattr(lock, "BEAT", -1.0)
        still = 0
        for holder in held:
            with suppress(StoreTrouble):
                holder.check()
                still += 1
        assert still == 1


def test_signs_of_life_go_on_by_themselves(root: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.02)
    with StoreLock(root, "here") as holder:
        first = (root / ".lock").read_bytes()
        for _ in range(500):
            if (root / ".lock").read_bytes() != first:
                break
            threading.Event().wait(0.02)
        assert (root / ".lock").read_bytes() != first
        holder.check()
