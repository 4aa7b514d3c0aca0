"""Local copies of what lies in a store: the ledger and runs, fetched and put."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_store import S3, contents

from pipeline.ledger import Ledger
from pipeline.sample import Outcome
from pipeline.store import Address, StoreTrouble, lock
from pipeline.store.workbench import StoreWorkbench, workbench_for
from pipeline.trouble import Trouble
from pipeline.workbench import Workbench

Machine = Callable[[str], StoreWorkbench]


@pytest.fixture
def root(s3: S3) -> Address:
    return s3.bucket() / "processed"


@pytest.fixture
def on(root: Address, tmp_path: Path) -> Machine:
    """The workbench of the same processed folder on a machine of that name."""
    return lambda name: StoreWorkbench(root, tmp_path / name)


def add(bench: Workbench, *keys: str) -> None:
    """What a command does to the ledger."""
    with bench.hold(), Ledger(bench.ledger) as ledger:
        ledger.record("take", [Outcome(key, "a", "kept", "print", "stamp") for key in keys])


def keys(bench: Workbench) -> set[str]:
    bench.read()
    with Ledger(bench.ledger) as ledger:
        return ledger.keys("take")


def test_a_local_folder_is_its_own_workbench(tmp_path: Path) -> None:
    bench = workbench_for(tmp_path)
    assert bench.folder == tmp_path and not isinstance(bench, StoreWorkbench)
    assert bench.place_of(tmp_path / "runs") == tmp_path / "runs"


def test_the_ledger_of_one_machine_is_at_hand_on_another(on: Machine) -> None:
    add(on("first"), "a/1")
    add(on("second"), "a/2")
    assert keys(on("first")) == keys(on("second")) == {"a/1", "a/2"}


def test_an_unchanged_ledger_is_neither_got_nor_put(on: Machine, s3: S3) -> None:
    add(on("first"), "a/1")
    keys(on("first"))
    s3.reset()
    add(on("first"))
    moves = {"GET ledger.sqlite", "PUT ledger.sqlite"}
    assert not moves & s3.requests.keys()
    add(on("first"), "a/2")
    assert moves & s3.requests.keys() == {"PUT ledger.sqlite"}


def test_rows_that_a_killed_command_could_not_put_are_there_when_its_machine_goes_on(
    on: Machine,
) -> None:
    add(on("first"), "a/1")
    with Ledger(on("first").ledger) as ledger:  # killed before it was put
        ledger.record("take", [Outcome("a/2", "a", "kept", "print", "stamp")])
    assert keys(on("second")) == {"a/1"}
    add(on("first"), "a/3")
    assert keys(on("second")) == {"a/1", "a/2", "a/3"}


def test_a_ledger_that_another_machine_went_on_with_replaces_the_local_one(on: Machine) -> None:
    add(on("first"), "a/1")
    with Ledger(on("first").ledger) as ledger:
        ledger.record("take", [Outcome("a/2", "a", "kept", "print", "stamp")])
    add(on("second"), "a/3")
    assert keys(on("first")) == {"a/1", "a/3"}


def test_a_store_that_was_emptied_is_begun_anew(on: Machine, root: Address) -> None:
    add(on("first"), "a/1")
    for entry in root.entries():
        (root / entry.name).unlink()
    add(on("first"), "a/2")
    assert keys(on("second")) == {"a/2"}


def test_a_command_that_fails_leaves_its_rows_in_the_store(on: Machine) -> None:
    bench = on("first")
    with pytest.raises(Trouble, match="no more"), bench.hold(), Ledger(bench.ledger) as ledger:
        ledger.record("take", [Outcome("a/1", "a", "kept", "print", "stamp")])
        raise Trouble("no more")
    assert keys(on("second")) == {"a/1"}


def test_the_log_of_errors_lies_in_the_store_after_the_command(on: Machine, root: Address) -> None:
    with on("first").hold(), Ledger(on("first").ledger):
        on("first").errors.write_text("take: a/1.jpg")
    assert (root / "errors.log").read_text() == "take: a/1.jpg"


def test_the_ledger_of_one_who_was_taken_over_is_not_put(
    on: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = on("first")
    monkeypatch.setattr(lock, "BEAT", 1000.0)  # no sign of life
    with pytest.raises(StoreTrouble, match="was taken over"), slow.hold():
        monkeypatch.setattr(lock, "SILENCE", 0.0)
        add(on("second"), "a/2")
        monkeypatch.setattr(lock, "BEAT", -1.0)
        with Ledger(slow.ledger) as ledger:
            ledger.record("take", [Outcome("a/1", "a", "kept", "print", "stamp")])
        slow.save()
    assert keys(on("third")) == {"a/2"}


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_a_run_that_one_machine_put_is_fetched_by_another(on: Machine, root: Address) -> None:
    first, second = on("first"), on("second")
    folder = first.folder / "runs" / "default"
    write(folder, best="1", old="x", run="{}")
    first.put(folder, last="run")
    second.fetch(second.folder / "runs" / "default")
    assert (second.folder / "runs" / "default" / "best").read_text() == "1"
    (folder / "old").unlink()
    write(folder, best="2", run="{}")
    first.put(folder, last="run")
    assert contents(root) == {"runs/default/best": b"2", "runs/default/run": b"{}"}


def test_a_run_is_whole_in_the_store_only_while_its_last_file_is_there(
    on: Machine, root: Address, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = on("first")
    folder = bench.folder / "runs" / "default"
    write(folder, best="1", zebra="1", run="{}")
    bench.put(folder, last="run")
    write(folder, best="other", zebra="other", run="{} ")
    upload, names = Address.write_bytes, []

    def until_killed(address: Address, data: bytes | Path) -> str:
        names.append(address.name)
        if address.name == "zebra":
            raise KeyboardInterrupt
        return upload(address, data)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Address, "write_bytes", until_killed)
        bench.put(folder, last="run")
    assert "runs/default/run" not in contents(root) and names == ["best", "zebra"]
    on("first").fetch(folder)  # what only changed here stays
    on("first").put(folder, last="run")
    assert contents(root) == {
        "runs/default/best": b"other",
        "runs/default/run": b"{} ",
        "runs/default/zebra": b"other",
    }


def test_what_lies_elsewhere_is_not_put(on: Machine, root: Address, tmp_path: Path) -> None:
    write(tmp_path / "mine", answers="1")
    on("first").put(tmp_path / "mine")
    assert contents(root) == {}
    assert on("first").place_of(tmp_path / "mine") == tmp_path / "mine"
    assert on("first").place_of(on("first").folder / "runs") == root / "runs"
