"""A new picture goes through all picture stages at once: same rows and bytes, decoded once."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from small_pipeline import Home, Mark, Take, chain, picture, put

from pipeline.executors.processes import Processes
from pipeline.pictures import decode
from pipeline.sample import Image, Sample
from pipeline.step import Step


@dataclass(frozen=True)
class Fatal(Mark):
    """As Mark, but some pictures raise, hang or end the worker, by their name."""

    def __call__(self, sample: Sample) -> Sample:
        match Path(sample.key).stem:
            case "raise":
                self.note("mark", sample)
                raise RuntimeError("cannot cope")
            case "hang":
                self.note("mark", sample)
                time.sleep(60)
            case "kill":
                self.note("mark", sample)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(sample)


@dataclass(frozen=True)
class Slow(Take):
    def __call__(self, sample: Sample) -> Sample:
        time.sleep(2)
        return super().__call__(sample)


@dataclass(frozen=True)
class SlowMark(Mark):
    def __call__(self, sample: Sample) -> Sample:
        time.sleep(2)
        return super().__call__(sample)


def test_going_on_at_once_comes_to_the_same_as_stage_after_stage(tmp_path: Path) -> None:
    homes = [Home(tmp_path / name) for name in ("at-once", "one-by-one")]
    for home in homes:
        for number in range(12):
            path = home.put(f"{'ab'[number % 2]}/{number}.jpg", picture(number, 8 + 20 * number))
            os.utime(path, ns=(10**18, 10**18))
        for key, data in (("a/empty.jpg", b""), ("a/copy.jpg", picture(8, 168))):
            os.utime(home.put(key, data), ns=(10**18, 10**18))
    steps = chain(str(tmp_path / "calls"))
    for home, one_by_one in zip(homes, (False, True), strict=True):
        home.run(steps, one_by_one=one_by_one)
    assert homes[0].rows() == homes[1].rows()
    assert homes[0].tree() == homes[1].tree()
    called = (tmp_path / "calls").read_text().splitlines()
    assert sorted(called) == sorted(2 * list(set(called)))


def test_what_a_whole_set_stage_leaves_out_leaves_the_later_stages_too(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.put("a/2.jpg", picture(1))
    home.run()
    home.put("a/1.jpg", picture(1))  # no copy of one that is new as well, so it goes all the way
    home.calls()
    home.run()
    assert "lips a/1.jpg" in home.calls()
    assert home.rows("key", "stage = 'lips'") == [("a/1.jpg",)]
    pictures = [path.name for path in (tmp_path / "processed/lips").rglob("*.jpg")]
    assert pictures == [home.output("lips", "a/1.jpg").name]
    before = home.tree()
    home.put("a/3.jpg", picture(1))
    home.run()
    assert "lips a/3.jpg" in home.calls()
    assert home.rows("key", "stage = 'lips'") == [("a/1.jpg",)]
    assert home.tree().keys() - before.keys() == {
        f"processed/{home.output(stage, 'a/3.jpg').relative_to(tmp_path / 'processed')}"
        for stage in ("take", "mark")
    }


def test_a_picture_is_decoded_once_on_its_way_through_all_stages(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = 0

    def counted(data: bytes) -> Image:
        nonlocal decoded
        decoded += 1
        return decode(data)

    monkeypatch.setattr("pipeline.pictures.decode", counted)
    home.put("a/5.jpg", picture(5))
    home.calls()
    home.run(say=lambda line: None)
    assert home.calls() == ["lips a/5.jpg", "mark a/5.jpg", "take a/5.jpg"]
    assert decoded == 0  # `take` has decoded it, with the name it imported


def test_what_was_decoded_goes_on_only_where_the_file_holds_the_same(tmp_path: Path) -> None:
    path = put(tmp_path / "1.jpg", picture(1))
    sample = Sample("a/1.jpg", "a", path)
    assert sample.image.any()
    marked = sample.with_facts(mean=3).at(tmp_path / "2.jpg", "d1")
    assert marked.image is sample.image
    assert (marked.file.name, marked.digest, marked.facts) == ("2.jpg", "d1", {"mean": 3})
    taken = sample.with_bytes(picture(1), sample.image).at(tmp_path / "2.jpg", "d1")
    assert taken.image is sample.image and (taken.encoded, taken.pixels) == (None, None)
    brighter = sample.with_image(sample.image // 2 + 128).at(path, "d2")
    assert np.array_equal(brighter.image, decode(path.read_bytes()))


def test_a_fault_in_a_later_stage_is_met_once_and_counts_for_that_stage(tmp_path: Path) -> None:
    home = Home(tmp_path)
    good = [f"good{number:02}" for number in range(40)]
    for number, name in enumerate((*good, "raise", "hang", "kill")):
        home.put(f"a/{name}.jpg", picture(number))
    take, _, *rest = chain(home.log)
    steps = [take, Step("mark", Fatal(home.log), "marked", "take"), *rest]
    lines = home.run(steps, Processes(2, timeout=4.0))
    assert lines[0] == "take: 43 in, 43 kept, 0 rejected"
    assert lines[1] == "mark: 43 in, 40 kept, 0 rejected, 3 error"
    assert home.rows("stage, key, verdict, reason", "verdict != 'kept'") == [
        ("mark", "a/hang.jpg", "error", "timed_out"),
        ("mark", "a/kill.jpg", "error", "crashed"),
        ("mark", "a/raise.jpg", "error", "failed"),
    ]
    calls = home.calls()
    assert calls.count("mark a/raise.jpg") == calls.count("mark a/hang.jpg") == 1
    assert calls.count("mark a/kill.jpg") <= 2  # in company first, then alone
    assert len(home.rows(where="verdict = 'kept'")) == 43 + 4 * 40


def test_a_picture_may_take_the_whole_time_in_each_stage(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.put("a/1.jpg", picture(1))
    steps = [
        Step("take", Slow(home.log), "taken", None),
        Step("mark", SlowMark(home.log), "marked", "take"),
    ]
    home.run(steps, Processes(1, timeout=3.5))
    assert home.calls() == ["mark a/1.jpg", "take a/1.jpg"]
    assert home.rows("stage, verdict") == [("mark", "kept"), ("take", "kept")]
