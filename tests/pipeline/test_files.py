"""Files: what is found and refused below raw, how outputs are named, whole files only."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import put

from pipeline import files
from pipeline.trouble import Trouble

UNHURRIED = settings(deadline=None)  # a busy machine is no failure
PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def refusals(root: Path) -> dict[str, str]:
    return {found.key: found.refusal for found in files.find(root)}


@UNHURRIED
@given(KEYS)
def test_output_name_is_plain_whatever_the_key(key: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+-[0-9a-f]{8}\.jpg", files.output_name(key))
    assert len(files.output_name(key)) <= 73  # every file system takes it, with `.new-<pid>-` too


@UNHURRIED
@given(KEYS)
def test_output_name_never_escapes_its_folder(key: str) -> None:
    name = files.output_name(key)
    assert Path(name).name == name
    assert (Path("/folder") / name).resolve().parent == Path("/folder")


@UNHURRIED
@given(KEYS, KEYS)
def test_output_name_is_stable_and_differs_between_keys(one: str, other: str) -> None:
    assert files.output_name(one) == files.output_name(str(one))
    assert (files.output_name(one) == files.output_name(other)) == (one == other)


def test_output_name_keeps_what_a_person_knows_the_picture_by() -> None:
    assert files.output_name("smile/Müller, Jörg.v2.PNG") == "muller-jorg-v2-b8cf431f.jpg"
    png, jpg = files.output_name("a/x.png"), files.output_name("a/x.jpg")
    assert png != jpg and png[:2] == jpg[:2] == "x-"
    assert files.output_name("笑/笑.jpg").startswith("picture-")


@UNHURRIED
@given(st.sampled_from(files.SPLITS), PARTS, KEYS)
def test_a_split_is_no_label(split: str, label: str, rest: str) -> None:
    key = f"{split}/{label}/{rest}"
    assert (files.split_of(key), files.label_of(key)) == (split, label)


@UNHURRIED
@given(PARTS.filter(lambda part: part not in files.SPLITS), KEYS)
def test_the_first_folder_is_the_label_where_it_is_no_split(label: str, rest: str) -> None:
    assert (files.split_of(f"{label}/{rest}"), files.label_of(f"{label}/{rest}")) == ("", label)


@UNHURRIED
@given(KEYS)
def test_a_picture_with_a_split_has_a_label_too(key: str) -> None:
    assert files.label_of(key) or not files.split_of(key)
    assert files.label_of(key) in ("", *key.split("/")[:-1])


@pytest.mark.parametrize("key", ["x.jpg", "train/x.jpg", "val/x.jpg"])
def test_a_picture_in_no_folder_has_neither_label_nor_split(key: str) -> None:
    assert (files.label_of(key), files.split_of(key)) == ("", "")


@UNHURRIED
@given(st.text())
def test_what_is_shown_has_no_character_that_a_terminal_obeys(text: str) -> None:
    assert files.shown(text, but="").isprintable()
    assert files.shown(text).replace("\n", "").isprintable()
    assert files.shown("Jörg 笑.jpg\n") == "Jörg 笑.jpg\n"


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(files)
    assert result.attempted > 0 and result.failed == 0


def test_every_file_is_found_with_its_label_and_stamp(tmp_path: Path) -> None:
    path = put(tmp_path / "train" / "smile" / "deep" / "x.png", b"four")
    put(tmp_path / "loose.jpg")
    found = {one.key: one for one in files.find(tmp_path)}
    one = found["train/smile/deep/x.png"]
    assert (one.label, one.refusal, one.path) == ("smile", "", str(path))
    assert one.stamp == f"4:{path.stat().st_mtime_ns}"
    assert found["loose.jpg"].refusal == "no_label"
    assert len(found) == 2


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "smile" / "x.jpg", b"abc")
    (tmp_path / "grin").symlink_to(tmp_path / "smile")
    (tmp_path / "smile" / "y.jpg").symlink_to("x.jpg")
    found = {one.key: one for one in files.find(tmp_path)}
    assert refusals(tmp_path) == dict.fromkeys(
        ("grin/x.jpg", "grin/y.jpg", "smile/x.jpg", "smile/y.jpg"), ""
    )
    assert found["grin/y.jpg"].stamp == found["smile/x.jpg"].stamp
    assert Path(found["grin/x.jpg"].path).read_bytes() == b"abc"


def test_links_that_lead_astray_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    outside = put(tmp_path / "rawer" / "x.jpg")  # a name that begins like the root's
    (root / "a").mkdir(parents=True)
    (root / "a" / "outside").symlink_to(outside.parent)
    (root / "a" / "outside.jpg").symlink_to(outside)
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "self").symlink_to("self")
    (root / "a" / "dangling.jpg").symlink_to("nothing")
    names = ("outside", "outside.jpg", "up", "self", "dangling.jpg")
    assert refusals(root) == {f"a/{name}": "bad_link" for name in names}


def test_two_folders_that_link_to_each_other_come_to_an_end(tmp_path: Path) -> None:
    put(tmp_path / "a" / "x.jpg")
    put(tmp_path / "b" / "y.jpg")
    (tmp_path / "a" / "to_b").symlink_to("../b")
    (tmp_path / "b" / "to_a").symlink_to("../a")
    found = refusals(tmp_path)
    assert found["a/to_b/y.jpg"] == "" and found["b/to_a/x.jpg"] == ""
    assert found["a/to_b/to_a"] == "bad_link" and found["b/to_a/to_b"] == "bad_link"


def test_a_root_that_is_a_link_is_no_reason_to_refuse(tmp_path: Path) -> None:
    put(tmp_path / "real" / "a" / "x.jpg")
    (tmp_path / "real" / "a" / "y.jpg").symlink_to(tmp_path / "real" / "a" / "x.jpg")
    (tmp_path / "raw").symlink_to("real")
    assert refusals(tmp_path / "raw") == {"a/x.jpg": "", "a/y.jpg": ""}


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    (tmp_path / "a" / "link.jpg").symlink_to("pipe.jpg")
    assert refusals(tmp_path) == {"a/link.jpg": "not_a_file", "a/pipe.jpg": "not_a_file"}


def test_a_name_that_is_not_utf8_is_spelled_out_and_can_be_read(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "a")
    Path(os.fsdecode(folder)).mkdir()
    Path(os.fsdecode(folder + b"/caf\xe9.jpg")).write_bytes(b"abc")
    (found,) = files.find(tmp_path)
    assert found.key == r"a/caf\xe9.jpg"
    assert Path(found.path).read_bytes() == b"abc"
    assert found.key.encode() and files.output_name(found.key).startswith("caf-xe9-")


def test_two_files_never_share_a_key(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/\xe9.jpg")).write_bytes(b"1")
    put(tmp_path / "a" / r"\xe9.jpg", b"2")
    assert len({found.key for found in files.find(tmp_path)}) == 2


def test_what_is_written_is_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.jpg"
    files.write(path, b"old")
    files.write(path, "né")
    assert path.read_bytes() == "né".encode()
    assert [one.name for one in path.parent.iterdir()] == ["x.jpg"]


def test_a_failed_write_leaves_the_old_file_and_no_half_of_a_new_one(tmp_path: Path) -> None:
    put(tmp_path / "x.jpg" / "inside", b"old")  # a folder stands where the file should go
    with pytest.raises(OSError):
        files.write(tmp_path / "x.jpg", b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["x.jpg"]
    assert (tmp_path / "x.jpg" / "inside").read_bytes() == b"old"


def test_a_link_costs_no_bytes_and_replaces_what_was_there(tmp_path: Path) -> None:
    source, path = put(tmp_path / "a.jpg", b"new"), put(tmp_path / "b" / "b.jpg", b"old")
    for _ in range(2):  # the second time both are one file already
        files.link(source, path)
        assert path.stat().st_ino == source.stat().st_ino and path.read_bytes() == b"new"
        assert [one.name for one in path.parent.iterdir()] == ["b.jpg"]


def test_pictures_are_listed_relative_to_their_folder(tmp_path: Path) -> None:
    put(tmp_path / "dataset" / "train" / "a" / "x.jpg")
    put(tmp_path / "dataset" / ".new-1-x.jpg")
    put(tmp_path / "dataset" / "metadata.csv")
    assert files.pictures_in(tmp_path, "dataset") == {
        "dataset/train/a/x.jpg",
        "dataset/.new-1-x.jpg",
    }
    assert files.pictures_in(tmp_path, "none") == set()


def test_model_files_are_told_apart_by_both_ends_and_size(tmp_path: Path) -> None:
    base = bytes(300_000)
    variants = [base, base[:-1], b"x" + base[1:], base[:-1] + b"x", base + b"\0"]
    known = [files.identity(put(tmp_path / str(i), data)) for i, data in enumerate(variants)]
    assert len(set(known)) == len(variants)
    assert files.identity(put(tmp_path / "again", base)) == known[0]


def test_the_second_holder_is_told_who_has_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "processed"
    with (
        files.hold(folder),
        pytest.raises(Trouble, match=rf"processed is in use by process {os.getpid()}: wait"),
        files.hold(folder),
    ):
        pytest.fail("two held one folder")
    with files.hold(folder):  # free again
        pass


def test_trouble_leaves_nothing_half_written_behind_and_all_else_as_it_was(tmp_path: Path) -> None:
    halves = [put(tmp_path / name) for name in (".new-12-x.jpg", "a/b/.new-345-y.jpg")]
    others = [put(tmp_path / name) for name in ("a/x.jpg", "a/.new-predictions.csv")]
    with pytest.raises(Trouble, match="the disk is full"), files.hold(tmp_path):
        raise Trouble("the disk is full")
    assert not any(half.exists() for half in halves)
    assert all(other.exists() for other in others)


def test_a_holder_in_another_process_is_named_and_its_death_frees_the_folder(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from pipeline import files\n"
        "with files.hold(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        with pytest.raises(Trouble, match=f"process {other.pid}:"), files.hold(tmp_path):
            pass
        other.kill()
        other.wait()
        with files.hold(tmp_path):
            assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_a_processed_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "processed")
    with pytest.raises(Trouble, match="processed"), files.hold(path):
        pass
