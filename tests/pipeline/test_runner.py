"""Runner: only what must be redone is redone, and every picture has exactly one row a stage."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from small_pipeline import Home, Mark, Take, chain, picture, put

from pipeline.pictures import decode, encode
from pipeline.sample import Sample
from pipeline.step import Step
from pipeline.trouble import Trouble


def test_every_picture_has_one_row_a_stage_with_its_reason(home: Home) -> None:
    columns = "key, verdict, reason, facts ->> 'mean'"
    assert home.rows(columns, "stage = 'mark' AND verdict != 'kept'") == [
        ("b/dark.jpg", "rejected", "dark", 9.7)
    ]
    assert home.rows("key, reason, output", "stage = 'unique' AND verdict != 'kept'") == [
        ("a/copy.jpg", "duplicate", "")
    ]
    counts = dict(home.rows("stage, COUNT(*)", "1 GROUP BY stage"))
    kept = dict(home.rows("stage, COUNT(*)", "verdict = 'kept' GROUP BY stage"))
    assert counts == {"take": 6, "mark": kept["take"], "unique": 5, "lips": 4, "split": 4}
    assert (kept["mark"], kept["unique"], kept["lips"], kept["split"]) == (5, 4, 4, 4)


def test_the_first_run_asks_each_stage_about_each_picture_once(home: Home) -> None:
    calls = home.calls()
    assert len(calls) == len(set(calls)) == 6 + 6 + 4


def test_a_second_run_calls_no_stage_and_writes_no_file(home: Home) -> None:
    before, rows = home.tree(), home.rows()
    times = {path: path.stat().st_ctime_ns for path in home.path.rglob("*.jpg")}
    home.calls()
    lines = home.run()
    assert home.calls() == [] and (home.tree(), home.rows()) == (before, rows)
    assert {path: path.stat().st_ctime_ns for path in home.path.rglob("*.jpg")} == times
    assert all(line.endswith(" (up to date)") for line in lines) and len(lines) == 5
    assert lines[1] == "mark: 6 in, 5 kept, 1 rejected (dark 1) (up to date)"


def test_a_changed_picture_alone_is_redone(home: Home) -> None:
    home.calls()
    home.put("b/2.jpg", picture(22))
    home.run()
    assert home.calls() == ["lips b/2.jpg", "mark b/2.jpg", "take b/2.jpg"]
    assert home.output("unique", "b/2.jpg").read_bytes() == picture(22)
    assert home.output("split", "b/2.jpg").samefile(home.output("lips", "b/2.jpg"))


def test_a_touched_picture_with_the_same_bytes_goes_no_further(home: Home) -> None:
    home.calls()
    os.utime(home.path / "raw" / "b" / "2.jpg", ns=(1, 1))
    home.run()
    assert home.calls() == ["take b/2.jpg"]
    assert home.run()[-1].endswith("(up to date)") and home.calls() == []


def test_a_new_picture_alone_is_done(home: Home) -> None:
    home.calls()
    home.put("b/4.jpg", picture(4))
    home.run()
    assert home.calls() == ["lips b/4.jpg", "mark b/4.jpg", "take b/4.jpg"]
    assert len(home.rows("key", "stage = 'split' AND verdict = 'kept'")) == 5


def test_a_vanished_picture_takes_its_outputs_along(home: Home) -> None:
    outputs = [home.output(stage, "b/3.jpg") for stage in ("take", "mark", "unique", "lips")]
    outputs.append(home.output("split", "b/3.jpg"))
    assert all(output.exists() for output in outputs)
    home.calls()
    (home.path / "raw" / "b" / "3.jpg").unlink()
    home.run()
    assert home.calls() == [] and home.rows("stage", "key = 'b/3.jpg'") == []
    assert not [output for output in outputs if output.exists()]
    assert "3.jpg" not in (home.path / "processed/dataset/metadata.csv").read_text()


def test_a_vanished_label_leaves_no_empty_folder_that_looks_like_a_class(home: Home) -> None:
    for path in (home.path / "raw" / "b").iterdir():
        path.unlink()
    home.run()
    folders = [path for path in (home.path / "processed").rglob("*") if path.is_dir()]
    assert sorted(path.name for path in folders if path.name in "ab") != []
    assert [str(path) for path in folders if path.name == "b"] == []


def test_a_copy_takes_the_place_of_an_original_that_vanished(home: Home) -> None:
    (home.path / "raw" / "a" / "0.jpg").unlink()
    home.run()
    assert home.rows("key", "stage = 'unique' AND verdict = 'rejected'") == []
    assert home.output("split", "a/copy.jpg").exists()


def test_changed_settings_redo_that_stage_and_say_so_first(home: Home) -> None:
    home.run(chain(home.log, scale=1.8))
    home.calls()
    lines = home.run(chain(home.log, scale=1.5))
    keys = ("a/0.jpg", "a/1.jpg", "b/2.jpg", "b/3.jpg")
    assert home.calls() == [f"lips {key}" for key in keys]
    assert lines[3] == "lips.scale 1.8 → 1.5: 4 pictures will be redone"
    assert lines[4].startswith("lips: 4 in, 4 kept") and len(lines) == 6
    expected = np.clip(decode(picture(2)) * 1.5, 0, 255).astype(np.uint8)
    assert home.output("split", "b/2.jpg").read_bytes() == encode(expected)


def test_a_deleted_output_is_made_again(home: Home) -> None:
    before = home.tree()
    home.output("lips", "a/1.jpg").unlink()
    home.output("split", "b/2.jpg").unlink()
    home.calls()
    home.run()
    assert home.calls() == ["lips a/1.jpg"] and home.tree() == before
    (home.path / "processed/dataset/metadata.csv").unlink()
    home.run()
    assert home.calls() == [] and home.tree() == before


def test_stray_files_are_removed(home: Home) -> None:
    before = home.tree()
    for name in ("lips/a/stray.jpg", "taken/.new-1-x.jpg", "dataset/train/other/x.jpg"):
        put(home.path / "processed" / name, b"x")
    home.calls()
    home.run()
    assert home.tree() == before and home.calls() == []


def test_a_table_half_written_by_a_killed_run_is_removed(home: Home) -> None:
    before = home.tree()
    put(home.path / "processed" / "dataset" / ".new-1-metadata.csv", b"file_na")
    home.run()
    assert home.tree() == before


def test_a_stage_that_leaves_the_pixels_alone_costs_a_hard_link(home: Home) -> None:
    outputs = [home.output(stage, "a/1.jpg") for stage in ("take", "mark", "unique")]
    assert len({output.stat().st_ino for output in outputs}) == 1
    assert outputs[0].stat().st_nlink == 3
    assert home.output("split", "a/1.jpg").samefile(home.output("lips", "a/1.jpg"))


def test_raw_is_never_changed_nor_linked_to(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.put("a/1.jpg", picture(1))
    home.put("a/notes.txt", b"not a picture")
    home.put("loose.jpg", picture(2))
    before = home.tree("raw")
    about = [(path, path.stat()) for path in sorted((tmp_path / "raw").rglob("*"))]
    home.run()
    home.run(chain(scale=1.8))
    assert home.tree("raw") == before
    for path, stat in about:
        now = path.stat()
        assert (now.st_mtime_ns, now.st_ctime_ns) == (stat.st_mtime_ns, stat.st_ctime_ns)


def test_a_first_stage_that_changes_nothing_copies_rather_than_links_to_raw(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path)
    source = home.put("a/1.jpg", picture(1))
    home.run([Step("mark", Mark(), "marked", None)])
    assert home.output("mark", "a/1.jpg").read_bytes() == source.read_bytes()
    assert source.stat().st_nlink == 1
    assert home.rows("length(digest)") == [(32,)]


def test_files_that_must_not_be_opened_get_a_row_and_no_call(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.put("loose.jpg", picture(1))
    home.put("a/empty.jpg", b"")
    os.mkfifo(tmp_path / "raw" / "a" / "pipe.jpg")
    (tmp_path / "raw" / "a" / "out.jpg").symlink_to(tmp_path)
    home.run()
    assert home.calls() == ["take a/empty.jpg"]
    assert home.rows("key, label, verdict, reason") == [
        ("a/empty.jpg", "a", "rejected", "empty"),
        ("a/out.jpg", "a", "rejected", "bad_link"),
        ("a/pipe.jpg", "a", "rejected", "not_a_file"),
        ("loose.jpg", "", "rejected", "no_label"),
    ]


def test_a_rejection_is_settled_and_a_fault_is_tried_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.put("a/dark.jpg", picture(1, brightest=9))
    blocked = put(tmp_path / "processed" / "marked" / "b", b"a file where a folder must be")
    home.put("b/1.jpg", picture(1))
    lines = home.run()
    assert lines[1] == "mark: 2 in, 0 kept, 1 rejected (dark 1), 1 error"
    ((detail,),) = home.rows("detail", "verdict = 'error' AND reason = 'failed'")
    assert "Error" in detail and "Traceback" in detail
    log = (tmp_path / "processed" / "errors.log").read_text()
    assert log.startswith("mark: b/1.jpg\nTraceback") and detail in log
    home.calls()
    blocked.unlink()
    lines = home.run()
    assert home.calls() == ["lips b/1.jpg", "mark b/1.jpg"]
    assert lines[1] == "mark: 2 in, 1 kept, 1 rejected (dark 1)"
    assert home.rows("key, verdict", "stage = 'mark'") == [
        ("a/dark.jpg", "rejected"),
        ("b/1.jpg", "kept"),
    ]


@dataclass(frozen=True)
class Full(Take):
    def __call__(self, sample: Sample) -> Sample:
        if sample.key == "a/2.jpg":
            raise OSError(28, "No space left on device")
        return super().__call__(sample)


def test_a_full_disk_ends_the_run_and_keeps_what_was_done(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for number in range(4):
        home.put(f"a/{number}.jpg", picture(number))
    with pytest.raises(
        Trouble,
        match=r"processed \(No space left on device\): [\d,.]+ MB are free.* make room, then run",
    ):
        home.run(chain(home.log, take=Full(home.log)))
    home.calls()
    home.run()
    assert [call for call in home.calls() if "take" in call] == ["take a/2.jpg", "take a/3.jpg"]
