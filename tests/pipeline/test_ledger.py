"""Ledger: what is recorded is remembered, in order; damage and newer versions are said."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ledger import Ledger, as_json, stamp
from pipeline.sample import Outcome, Sample, Verdict
from pipeline.trouble import Trouble

UNHURRIED = settings(deadline=None, max_examples=50)  # a busy machine is no failure
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VERDICTS: list[Verdict] = ["kept", "rejected", "error"]
NUMBERS = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
FACTS = st.dictionaries(TEXT, NUMBERS | TEXT | st.lists(NUMBERS, max_size=3), max_size=3)
OUTCOMES = st.builds(
    Outcome,
    key=TEXT,
    label=TEXT,
    verdict=st.sampled_from(VERDICTS),
    fingerprint=TEXT,
    source=TEXT,
    reason=TEXT,
    facts=FACTS.map(as_json),
    output=TEXT,
    digest=TEXT,
    stamp=TEXT,
    detail=TEXT,
)


def row(key: str, verdict: Verdict = "kept", reason: str = "") -> Outcome:
    output = f"faces/{key}" if verdict == "kept" else ""
    return Outcome(key, "a", verdict, "print", f"from {key}", reason, '{"n":1}', output, "d", "s")


@UNHURRIED
@given(st.lists(OUTCOMES, max_size=8))
def test_kept_rows_come_back_in_order_of_key_and_the_last_word_counts(rows: list[Outcome]) -> None:
    last = {outcome.key: outcome for outcome in rows}
    kept = {key: outcome.stamp for key, outcome in last.items() if outcome.verdict == "kept"}
    with Ledger(None) as ledger:
        ledger.record("faces", rows)
        assert ledger.kept("faces") == kept
        # SQLite compares bytes, and UTF-8 sorts as code points do
        assert list(ledger.kept("faces")) == sorted(kept)
        assert ledger.keys("faces") == last.keys()
        assert dict(ledger.outputs("faces")) == {last[key].output: key for key in sorted(kept)}
        assert ledger.kept("lips") == {} == dict(ledger.outputs("lips"))


STAMPS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xy"))
FEW = st.lists(
    st.builds(
        Outcome,
        key=st.sampled_from("abcd"),
        label=st.just("a"),
        verdict=st.sampled_from(VERDICTS),
        fingerprint=st.sampled_from("12"),
        source=st.sampled_from("xy"),
        stamp=st.sampled_from("xy"),
    ),
    max_size=6,
)


@UNHURRIED
@given(seen=STAMPS, before=FEW, rows=FEW, first=st.booleans())
def test_stale_is_what_is_new_failed_or_made_of_something_else(
    seen: dict[str, str], before: list[Outcome], rows: list[Outcome], first: bool
) -> None:
    with Ledger(None) as ledger:
        ledger.see([("e", "z")])
        ledger.see(seen.items())
        ledger.record("screen", before)
        ledger.record("faces", rows)
        todo, to_remake, gone = ledger.compare("faces", "1", None if first else "screen")
        wanted = seen if first else ledger.kept("screen")
    done = {outcome.key: outcome for outcome in rows}
    expected = {
        key
        for key, source in wanted.items()
        if key not in done or done[key].verdict == "error" or done[key].source != source
    }
    other = {key for key in wanted.keys() - expected if done[key].fingerprint != "1"}
    assert todo == {key: wanted[key] for key in expected | other} and list(todo) == sorted(todo)
    assert to_remake == other
    assert gone == done.keys() - wanted.keys()


@UNHURRIED
@given(st.lists(OUTCOMES, max_size=8), st.sets(TEXT))
def test_some_samples_can_be_asked_for(rows: list[Outcome], others: set[str]) -> None:
    with Ledger(None) as ledger:
        ledger.record("faces", rows)
        every = list(ledger.samples("faces", Path()))
        only = others | {outcome.key for outcome in every[::2]}
        assert list(ledger.samples("faces", Path(), only)) == [
            outcome for outcome in every if outcome.key in only
        ]


@UNHURRIED
@given(st.lists(OUTCOMES, max_size=8))
def test_samples_are_the_kept_rows_with_all_their_facts(rows: list[Outcome]) -> None:
    last = {outcome.key: outcome for outcome in rows}
    root = Path("processed")
    with Ledger(None) as ledger:
        ledger.record("faces", rows)
        assert list(ledger.samples("faces", root)) == [
            Sample(
                outcome.key,
                outcome.label,
                root / outcome.output,
                json.loads(outcome.facts),
                outcome.digest,
            )
            for _, outcome in sorted(last.items())
            if outcome.verdict == "kept"
        ]


@UNHURRIED
@given(st.lists(OUTCOMES, max_size=8))
def test_every_row_is_counted_once(rows: list[Outcome]) -> None:
    verdicts = [outcome.verdict for outcome in {outcome.key: outcome for outcome in rows}.values()]
    with Ledger(None) as ledger:
        ledger.record("faces", [replaced(outcome) for outcome in rows])
        kept, rejected, errors = ledger.counts("faces")
    assert kept == verdicts.count("kept")
    assert sum(rejected.values()) == verdicts.count("rejected")
    assert errors == verdicts.count("error")


def replaced(outcome: Outcome) -> Outcome:
    """The row as a stage would write it: a kept one has no reason."""
    return row(outcome.key, outcome.verdict, "" if outcome.verdict == "kept" else outcome.reason)


def test_counts_name_the_reasons_in_order() -> None:
    rows = [row("1"), row("2", "rejected", "no_face"), row("3", "rejected", "blank")]
    rows += [row("4", "rejected", "blank"), row("5", "error", "failed"), row("6", "error", "crash")]
    with Ledger(None) as ledger:
        ledger.record("faces", rows)
        kept, rejected, errors = ledger.counts("faces")
        assert (kept, list(rejected.items()), errors) == (1, [("blank", 2), ("no_face", 1)], 2)
        assert ledger.counts("lips") == (0, {}, 0)


def test_what_is_forgotten_is_gone_from_that_stage_alone() -> None:
    with Ledger(None) as ledger:
        for stage in ("faces", "lips"):
            ledger.record(stage, [row("1"), row("2")])
        ledger.forget("faces", ["1", "unknown"])
        assert list(ledger.kept("faces")) == ["2"] and list(ledger.kept("lips")) == ["1", "2"]


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    bad = Outcome("2", "a", "kept", "f", "s", facts=cast(str, {"n": 1}))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        with pytest.raises(sqlite3.Error):
            ledger.record("faces", [row("1"), bad])
        assert ledger.keys("faces") == set()


def test_facts_that_json_cannot_hold_are_refused() -> None:
    with pytest.raises(TypeError):
        as_json({"n": object()})


def test_rows_and_settings_outlive_the_program(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        assert ledger.made_with("lips") == {}
        ledger.record("lips", [row("ü/1.jpg")])
        ledger.set_made_with("lips", {"scale": 1.8})
        ledger.set_made_with("lips", {"scale": 1.5, "size": 128})
    with Ledger(path) as ledger:
        assert ledger.kept("lips") == {"ü/1.jpg": "s"}
        assert ledger.made_with("lips") == {"scale": 1.5, "size": 128}


def test_the_fingerprint_of_a_stage_names_every_kept_picture_and_its_bytes() -> None:
    with Ledger(None) as ledger:
        ledger.record("split", [row("2"), row("1")])
        before = ledger.fingerprint("split")
        ledger.record("split", [row("3", "rejected", "blank")])
        assert ledger.fingerprint("split") == before
        ledger.record("split", [Outcome("1", "a", "kept", "f", "s", output="o", digest="other")])
        assert ledger.fingerprint("split") != before


def test_the_stamp_changes_with_the_bytes_and_with_the_facts_but_not_with_their_order() -> None:
    def stamped(content: str, **facts: int) -> str:
        return stamp(content, as_json(facts))

    assert stamped("d", a=1, b=2) == stamped("d", b=2, a=1)
    assert len({stamped("d"), stamped("e"), stamped("d", a=1), stamped("d", a=2)}) == 4


def test_a_file_that_is_no_ledger_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(Trouble, match=r"ledger\.sqlite is damaged .*move it away"):
        Ledger(path)
    assert path.read_bytes() == b"no database at all" * 100


def test_a_ledger_damaged_in_the_middle_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.record("faces", [row(f"{number:05}") for number in range(500)])
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    with pytest.raises(Trouble, match=r"ledger\.sqlite is damaged"), Ledger(path) as ledger:
        ledger.kept("faces")


def test_a_newer_ledger_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Trouble, match=r"ledger\.sqlite is from a newer version"):
        Ledger(path)
    assert path.read_bytes() == before


def test_long_rows_take_little_more_room_than_their_text(tmp_path: Path) -> None:
    path, facts = tmp_path / "ledger.sqlite", as_json({"landmarks": [[100, 200]] * 120})
    with Ledger(path) as ledger:
        rows = [replace(row(f"{number:05}"), facts=facts) for number in range(500)]
        ledger.record("lips", rows)
    assert 1 < path.stat().st_size / (500 * len(facts)) < 1.5


def test_rows_with_a_reason_and_single_rows_can_be_asked_for() -> None:
    with Ledger(None) as ledger:
        ledger.record(
            "faces", [row("2", "rejected", "no_face"), row("1"), row("3", "error", "bad")]
        )
        assert [(entry.key, entry.reason) for entry in ledger.dropped("faces")] == [
            ("2", "no_face"),
            ("3", "bad"),
        ]
        (kept, *_) = ledger.entries("faces")
        assert ledger.entry("faces", "1") == kept and ledger.entry("lips", "1") is None
