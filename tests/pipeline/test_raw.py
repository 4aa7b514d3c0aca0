"""The user's folder: what is found and refused in it, under which label and which split."""

from __future__ import annotations

import doctest
import os
from pathlib import Path
from types import ModuleType

import pytest
from small_files import put

from pipeline import files, leftovers, raw
from pipeline.listing import Found


def refusals(root: Path) -> dict[str, str]:
    return {found.key: found.refusal for found in raw.find(root).files}


def test_every_file_is_found_with_its_label_and_stamp(tmp_path: Path) -> None:
    path = put(tmp_path / "train" / "smile" / "deep" / "x.png", b"four")
    put(tmp_path / "loose.jpg")
    found = {one.key: one for one in raw.find(tmp_path).files}
    one = found["train/smile/deep/x.png"]
    assert (one.label, one.refusal, one.path) == ("smile", "", str(path))
    assert one.stamp == f"4:{path.stat().st_mtime_ns}"
    assert found["loose.jpg"].refusal == "no_label"
    assert len(found) == 2


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "smile" / "x.jpg", b"abc")
    (tmp_path / "grin").symlink_to(tmp_path / "smile")
    (tmp_path / "smile" / "y.jpg").symlink_to("x.jpg")
    found = {one.key: one for one in raw.find(tmp_path).files}
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
    (found,) = raw.find(tmp_path).files
    assert found.key == r"a/caf\xe9.jpg"
    assert Path(found.path).read_bytes() == b"abc"
    assert found.key.encode() and files.output_name(found.key).startswith("caf-xe9-")


def test_two_files_never_share_a_key(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/\xe9.jpg")).write_bytes(b"1")
    put(tmp_path / "a" / r"\xe9.jpg", b"2")
    assert len({found.key for found in raw.find(tmp_path).files}) == 2


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
    found = raw.find(tmp_path).files
    assert raw.copies(found) == {"b/1.jpg", "b/2.jpg", "b/6.jpg"}


def test_of_two_files_that_would_get_one_name_the_second_is_refused() -> None:
    keys = ("a/86483/x.jpg", "a/95239/x.jpg")  # found by trying: their digests begin alike
    assert files.output_name(keys[0]) == files.output_name(keys[1])
    others = ("a/1/x.jpg", "b/95239/x.jpg", "a/86483/y.jpg")
    found = (Found(key, key, "1:1") for key in (*keys, *others))
    refused = {key: one.refusal for key, one in raw.without_clashes(found).items()}
    assert refused == dict.fromkeys((*keys, *others), "") | {keys[1]: "name_clash"}


LEFT_BEHIND = (
    *(".ipynb_checkpoints/x.jpg", "__MACOSX/none/._0.jpg", "@eaDir/x.jpg", "#recycle/x.jpg"),
    *("$RECYCLE.BIN/x.jpg", "$Recycle.Bin/x.jpg", "lost+found/x.jpg", ".Trash-1000/files/x.jpg"),
    *("System Volume Information/x.jpg", ".thumbnails/x.png", "Thumbnails/x.jpg", ".git/x.jpg"),
    *("._0.jpg", "Thumbs.db", "thumbs.db:encryptable", "desktop.ini", "Desktop.ini", ".DS_Store"),
)


@pytest.mark.parametrize("below", ["", "none/", "none/deep/", "train/none/"])
@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_what_programs_leave_behind_is_counted_and_left_out(
    tmp_path: Path, below: str, name: str
) -> None:
    kept = put(tmp_path / "train/none/kept.jpg")
    put(tmp_path / below / name)
    listing = raw.find(tmp_path)
    assert [file.path for file in listing.files] == [str(kept)]
    assert listing.leftovers.total() == 1
    assert listing.label_folders - {"none"} <= {"deep"}
    (line,) = listing.remarks()
    assert "1 file that programs leave behind was left out" in line


def test_leftovers_are_named_in_one_line(tmp_path: Path) -> None:
    for name in ("a/@eaDir/1/x.jpg", "b/@eaDir/y.jpg", "a/._1.jpg", "a/._2.jpg", "a/Thumbs.db"):
        put(tmp_path / name)
    assert raw.find(tmp_path).remarks() == [
        f"{tmp_path}: 5 files that programs leave behind were left out "
        "(._* 2, @eaDir 2, Thumbs.db 1)"
    ]


def test_a_hidden_picture_is_still_a_picture(tmp_path: Path) -> None:
    put(tmp_path / "a" / ".jpg")
    put(tmp_path / "a" / ".mine.jpg")
    assert refusals(tmp_path) == {"a/.jpg": "", "a/.mine.jpg": ""}
    assert raw.find(tmp_path).remarks() == []


def test_the_table_of_collected_pictures_is_not_a_picture(tmp_path: Path) -> None:
    put(tmp_path / "a" / "sources.csv")
    put(tmp_path / "a" / "x.jpg")
    assert refusals(tmp_path) == {"a/x.jpg": ""}
    assert raw.find(tmp_path).remarks() == []


def test_folders_under_another_name_of_a_split_are_told_once(tmp_path: Path) -> None:
    for key in ("Training/a/1.jpg", "valid/a/2.jpg", "valid/b/3.jpg", "test/a/4.jpg"):
        put(tmp_path / key)
    listing = raw.find(tmp_path)
    assert {file.label for file in listing.files} == {"a", "b"}
    assert listing.remarks() == [f"{tmp_path}: Training/ is taken as train, valid/ is taken as val"]


def test_an_empty_label_has_its_folder_on_record(tmp_path: Path) -> None:
    put(tmp_path / "train" / "a" / "x.jpg")
    (tmp_path / "train" / "b").mkdir()
    (tmp_path / "train" / "a" / "deep").mkdir()
    assert raw.find(tmp_path).label_folders == {"a", "b"}


def test_links_that_lead_out_are_followed_when_asked(tmp_path: Path) -> None:
    root, outside = tmp_path / "raw", tmp_path / "photos"
    put(outside / "smile" / "x.jpg")
    put(outside / "y.jpg")
    put(root / "none" / "z.jpg")
    (root / "smile").symlink_to(outside / "smile")
    (root / "none" / "y.jpg").symlink_to(outside / "y.jpg")
    (outside / "smile" / "back").symlink_to(outside)
    listing = raw.find(root)
    assert listing.leading_out == ["none/y.jpg", "smile"]
    assert listing.remarks() == [
        f"{root}: 2 links lead out of the folder and are not followed (first: none/y.jpg); "
        "--follow-links reads what lies there"
    ]
    followed = raw.find(root, follow_links=True)
    found = {file.key: file.refusal for file in followed.files}
    assert found["smile/x.jpg"] == found["none/y.jpg"] == found["none/z.jpg"] == ""
    assert found["smile/back/smile"] == "bad_link"  # the circle ends
    assert followed.remarks() == [] and followed.leading_out == []


def test_links_never_lead_into_the_processed_folder(tmp_path: Path) -> None:
    processed = tmp_path / "processed"
    put(processed / "lips" / "a" / "x.jpg")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a").symlink_to(processed / "lips" / "a")
    (tmp_path / "raw" / "b").symlink_to(tmp_path)
    listing = raw.find(tmp_path / "raw", follow_links=True, closed=processed)
    assert {file.key: file.refusal for file in listing.files} == dict.fromkeys("ab", "bad_link")
    assert listing.remarks() == []


def test_links_into_closed_folders_and_to_themselves_hide_no_picture_beside_them(
    tmp_path: Path,
) -> None:
    put(tmp_path / "a" / "x.jpg")
    (tmp_path / "a" / "self").symlink_to("self")
    (tmp_path / "a" / "none").symlink_to("/proc/1/root/x")
    assert refusals(tmp_path) == {"a/x.jpg": "", "a/self": "bad_link", "a/none": "bad_link"}


@pytest.mark.parametrize("module", [leftovers])
def test_the_examples_in_the_docstrings_hold(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0
