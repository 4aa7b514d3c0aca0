"""Files: how outputs are named, whole files only."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import put

from pipeline import files

UNHURRIED = settings(deadline=None)  # a busy machine is no failure
PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


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
def test_output_name_is_stable_and_differs_between_keys(key: str, other: str) -> None:
    assert files.output_name(key) == files.output_name(str(key))
    assert (files.output_name(key) == files.output_name(other)) == (key == other)


def test_output_name_keeps_what_a_person_knows_the_picture_by() -> None:
    assert files.output_name("smile/Müller, Jörg.v2.PNG") == "muller-jorg-v2-b8cf431f.jpg"
    png, jpg = files.output_name("a/x.png"), files.output_name("a/x.jpg")
    assert png != jpg and png[:2] == jpg[:2] == "x-"
    assert files.output_name("笑/笑.jpg").startswith("picture-")


@UNHURRIED
@given(st.text())
def test_what_is_shown_has_no_character_that_a_terminal_obeys(text: str) -> None:
    assert files.shown(text, but="").isprintable()
    assert files.shown(text).replace("\n", "").isprintable()
    assert files.shown("Jörg 笑.jpg\n") == "Jörg 笑.jpg\n"


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(files)
    assert result.attempted > 0 and result.failed == 0


def test_what_is_written_is_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.jpg"
    files.write(path, b"old")
    files.write(path, "né")
    assert path.read_bytes() == "né".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["x.jpg"]


def test_a_failed_write_leaves_the_old_file_and_no_half_of_a_new_one(tmp_path: Path) -> None:
    put(tmp_path / "x.jpg" / "inside", b"old")  # a folder stands where the file should go
    with pytest.raises(OSError):
        files.write(tmp_path / "x.jpg", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.jpg"]
    assert (tmp_path / "x.jpg" / "inside").read_bytes() == b"old"


def test_a_link_costs_no_bytes_and_replaces_what_was_there(tmp_path: Path) -> None:
    source, path = put(tmp_path / "a.jpg", b"new"), put(tmp_path / "b" / "b.jpg", b"old")
    for _ in range(2):  # the second time both are one file already
        files.link(source, path)
        assert path.stat().st_ino == source.stat().st_ino and path.read_bytes() == b"new"
        assert [entry.name for entry in path.parent.iterdir()] == ["b.jpg"]


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


def test_folders_that_are_left_empty_go_with_their_files(tmp_path: Path) -> None:
    gone = ["lips/train/smile/a.jpg", "lips/train/smile/b.jpg", "lips/val/none/c.jpg"]
    for name in (*gone, "lips/val/smile/d.jpg"):
        put(tmp_path / name, b"")
    files.remove(tmp_path, "lips", [*gone, "lips/test/none/never there.jpg"])
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert left == ["lips", "lips/val", "lips/val/smile", "lips/val/smile/d.jpg"]
    files.remove(tmp_path, "lips", ["lips/val/smile/d.jpg"])
    assert list(tmp_path.rglob("*")) == [tmp_path / "lips"]


def test_a_folder_is_not_listed_for_each_file_that_goes(tmp_path: Path) -> None:
    names = [f"lips/none/{number}.jpg" for number in range(20)]
    for name in names:
        put(tmp_path / name, b"")
    listed = []
    sys.addaudithook(
        lambda event, _: listed.append(event) if event in ("os.listdir", "os.scandir") else None
    )
    files.remove(tmp_path, "lips", names[1:])
    assert len(listed) <= 1
    assert list(tmp_path.rglob("*.jpg")) == [tmp_path / names[0]]
