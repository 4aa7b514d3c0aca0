"""The pictures and videos to label, however they are named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.trouble import Usage
from stages.formats.containers import is_video
from stages.predict.inputs import inputs
from stages.predict.judging import in_folder

NAMES = ("a b.jpg", "-dash.jpg", "line\nbreak.jpg", "微笑.jpg", "[1].jpg", "x.PNG")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "in"
    (home / "deep").mkdir(parents=True)
    for name in NAMES:
        (home / name).write_bytes(b"1")
    (home / "deep" / "below.jpg").write_bytes(b"1")
    return home


def found(given: object = "", listed: Path | None = None) -> dict[str, str]:
    return {entry.sample.key: entry.refusal for entry in inputs(str(given), listed)}


def test_a_folder_gives_all_below_it_by_the_path_from_there(folder: Path) -> None:
    assert found(folder) == dict.fromkeys([*NAMES, "deep/below.jpg"], "")


def test_what_programs_leave_in_a_folder_is_left_out_and_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("deep/@eaDir/x.jpg", "._a b.jpg", "Thumbs.db"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"1")
    assert found(folder) == dict.fromkeys([*NAMES, "deep/below.jpg"], "")
    assert "3 files that programs leave behind were left out" in capsys.readouterr().out


def test_links_that_lead_out_of_a_folder_are_followed_when_asked(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.jpg").write_bytes(b"1")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert found(folder)["link"] == "bad_link"
    followed = {entry.sample.key: entry.refusal for entry in inputs(str(folder), None, True)}
    assert followed["link/x.jpg"] == "" and "link" not in followed


def test_labelled_folders_lose_what_programs_left_and_know_every_name_of_a_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Training/a/1.jpg", "valid/a/2.jpg", "valid/b/3.jpg", "valid/b/._3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    labelled = [(picture.sample.label, picture.split) for picture in in_folder(tmp_path)]
    assert labelled == [("a", "val"), ("b", "val")]
    output = capsys.readouterr().out
    assert "valid/ is taken as val" in output and "1 file that programs leave behind" in output
    (tmp_path / "valid" / "B").mkdir()
    (tmp_path / "valid" / "B" / "4.jpg").write_bytes(b"1")
    with pytest.raises(Usage, match="'B' and 'b', which look the same"):
        in_folder(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_taken_by_its_name_even_where_that_looks_like_a_pattern(
    folder: Path, name: str
) -> None:
    assert found(folder / name) == {name: ""}


def test_a_pattern_gives_files_in_order_and_no_folders(folder: Path) -> None:
    names = found(f"{folder}/**/*.jpg")
    expected = sorted(str(folder / name) for name in [*NAMES[:-1], "deep/below.jpg"])
    assert list(names) == expected


def test_a_pattern_that_fits_nothing_is_wrong_usage(folder: Path) -> None:
    with pytest.raises(Usage, match="no such picture or folder"):
        found(f"{folder}/*.gif")


def test_a_list_gives_a_row_for_each_name_once_missing_or_not(folder: Path) -> None:
    there, gone = folder / "a b.jpg", folder / "gone.jpg"
    other = folder / "u\x0bv\u2028w.jpg"  # breaks lines elsewhere, not here
    other.write_bytes(b"1")
    os.mkfifo(folder / "pipe")
    names = [there, gone, there, "", other, folder / "pipe", folder / "deep", "n" * 5000, "nul\0"]
    (folder / "list.txt").write_text("\ufeff" + "\n".join(map(str, names)), encoding="utf-8")
    assert found(listed=folder / "list.txt") == {
        str(there): "",
        str(gone): "missing",
        str(other): "",
        str(folder / "pipe"): "not_a_file",
        str(folder / "deep"): "not_a_file",
        "n" * 5000: "missing",
        "nul\0": "missing",
    }


def test_a_list_may_come_from_windows(folder: Path) -> None:
    (folder / "list.txt").write_bytes(f"{folder}/x.PNG\r\n{folder}/-dash.jpg\r\n".encode())
    assert list(found(listed=folder / "list.txt").values()) == ["", ""]


def test_names_that_are_no_unicode_are_found_by_a_list(folder: Path) -> None:
    odd = os.fsencode(folder) + b"/\xff\xfe.jpg"
    Path(os.fsdecode(odd)).write_bytes(b"1")
    (folder / "list.txt").write_bytes(odd + b"\n")
    assert found(listed=folder / "list.txt") == {os.fsdecode(odd): ""}


def test_no_input_is_wrong_usage() -> None:
    with pytest.raises(Usage, match="give --input"):
        found()


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\0\0\0\x20ftypisom", True),
        (b"\0\0\0\x20ftypheic", False),
        (b"RIFF\0\0\0\0AVI LIST", True),
        (b"RIFF\0\0\0\0WEBPVP8 ", False),
        (b"\x1aE\xdf\xa3\x93\x42\x82\x88", True),
        (b"ffconcat version 1.0\n", False),
        (b"#EXTM3U\n#EXTINF:1\n", False),
        (b"", False),
    ],
)
def test_a_video_is_known_by_its_first_bytes(tmp_path: Path, head: bytes, expected: bool) -> None:
    for name in ("a.mp4", "a.jpg"):
        (tmp_path / name).write_bytes(head)
        assert is_video(tmp_path / name) is expected


def test_a_missing_file_is_no_video(tmp_path: Path) -> None:
    assert not is_video(tmp_path / "gone.mp4")
    assert not is_video(tmp_path)
