"""The user's folder: what is found and refused in it, under which label and which split."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import put

from pipeline import files, raw

UNHURRIED = settings(deadline=None)  # a busy machine is no failure
PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def refusals(root: Path) -> dict[str, str]:
    return {found.key: found.refusal for found in raw.find(root)}


@UNHURRIED
@given(st.sampled_from(raw.SPLITS), PARTS, KEYS)
def test_a_split_is_no_label(split: str, label: str, rest: str) -> None:
    key = f"{split}/{label}/{rest}"
    assert (raw.split_of(key), raw.label_of(key)) == (split, label)


@UNHURRIED
@given(PARTS.filter(lambda part: part not in raw.SPLITS), KEYS)
def test_the_first_folder_is_the_label_where_it_is_no_split(label: str, rest: str) -> None:
    assert (raw.split_of(f"{label}/{rest}"), raw.label_of(f"{label}/{rest}")) == ("", label)


@UNHURRIED
@given(KEYS)
def test_a_picture_with_a_split_has_a_label_too(key: str) -> None:
    assert raw.label_of(key) or not raw.split_of(key)
    assert raw.label_of(key) in ("", *key.split("/")[:-1])


@pytest.mark.parametrize("key", ["x.jpg", "train/x.jpg", "val/x.jpg"])
def test_a_picture_in_no_folder_has_neither_label_nor_split(key: str) -> None:
    assert (raw.label_of(key), raw.split_of(key)) == ("", "")


def test_every_file_is_found_with_its_label_and_stamp(tmp_path: Path) -> None:
    path = put(tmp_path / "train" / "smile" / "deep" / "x.png", b"four")
    put(tmp_path / "loose.jpg")
    found = {one.key: one for one in raw.find(tmp_path)}
    one = found["train/smile/deep/x.png"]
    assert (one.label, one.refusal, one.path) == ("smile", "", str(path))
    assert one.stamp == f"4:{path.stat().st_mtime_ns}"
    assert found["loose.jpg"].refusal == "no_label"
    assert len(found) == 2


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "smile" / "x.jpg", b"abc")
    (tmp_path / "grin").symlink_to(tmp_path / "smile")
    (tmp_path / "smile" / "y.jpg").symlink_to("x.jpg")
    found = {one.key: one for one in raw.find(tmp_path)}
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
    (found,) = raw.find(tmp_path)
    assert found.key == r"a/caf\xe9.jpg"
    assert Path(found.path).read_bytes() == b"abc"
    assert found.key.encode() and files.output_name(found.key).startswith("caf-xe9-")


def test_two_files_never_share_a_key(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/\xe9.jpg")).write_bytes(b"1")
    put(tmp_path / "a" / r"\xe9.jpg", b"2")
    assert len({found.key for found in raw.find(tmp_path)}) == 2


def test_copies_are_told_from_files_that_only_have_the_same_size(tmp_path: Path) -> None:
    long = bytes(200_000)
    for key, data in {
        "a/1.jpg": b"one",
        "a/2.jpg": b"two",
        "a/3.jpg": b"three",
        "b/1.jpg": b"one",
        "b/2.jpg": b"one",
        "b/4.jpg": long + b"4",
        "b/5.jpg": long + b"5",
        "b/6.jpg": long + b"4",
        "loose.jpg": b"one",
    }.items():
        put(tmp_path / key, data)
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    found = list(raw.find(tmp_path))
    copies = raw.Copies(found)
    again = {file.key for file in found if copies.again(file.key)}
    assert again == {"b/1.jpg", "b/2.jpg", "b/6.jpg"}
    assert not copies.again("unknown.jpg")


def test_of_two_files_that_would_get_one_name_the_second_is_refused() -> None:
    keys = ("a/86483/x.jpg", "a/95239/x.jpg")  # found by trying: their digests begin alike
    assert files.output_name(keys[0]) == files.output_name(keys[1])
    others = ("a/1/x.jpg", "b/95239/x.jpg", "a/86483/y.jpg")
    found = (raw.Found(key, key, "1:1") for key in (*keys, *others))
    refused = {key: one.refusal for key, one in raw.without_clashes(found).items()}
    assert refused == dict.fromkeys((*keys, *others), "") | {keys[1]: "name_clash"}
