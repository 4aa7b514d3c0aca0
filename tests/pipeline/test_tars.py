"""Tars of pictures: what is found in them, and that a hostile one ends in reasons."""

from __future__ import annotations

import doctest
import io
import json
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import tars
from pipeline.tars import Contents, Member, TarredFile

Build = Callable[[tarfile.TarFile], None]


def add(tar: tarfile.TarFile, name: str, data: bytes = b"picture", **about: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in about.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(data))


def tar_of(*names: str, notes: dict[str, bytes] | None = None) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name in names:
            add(tar, name, f"content of {name}".encode())
        for name, data in (notes or {}).items():
            add(tar, name, data)
    return target.getvalue()


def found_in(folder: Path, data: bytes) -> Contents:
    path = folder / "x.tar"
    path.write_bytes(data)
    found = tars.contents(path, folder / "indexes")
    assert found is not None
    return found


def told(folder: Path, **notes: bytes) -> TarredFile:
    """The one picture of a tar with these notes beside it."""
    files = {f"a/b.{kind}": data for kind, data in notes.items()}
    (entry,) = found_in(folder, tar_of("a/b.jpg", notes=files)).entries
    return entry


def test_pictures_are_read_where_they_lie(tmp_path: Path) -> None:
    found = found_in(tmp_path, tar_of("one.jpg", "deep/two.png"))
    assert [entry.name for entry in found.entries] == [
        "one.jpg",
        "deep/two.png",
    ] and not found.damage
    for entry in found.entries:
        member = Member(tmp_path / "x.tar", entry.offset, entry.size)
        assert member.read_bytes() == f"content of {entry.name}".encode()
        assert member.stat().st_size == entry.size


@pytest.mark.parametrize(
    ("notes", "label"),
    [
        ({"cls": b"3\n"}, "3"),
        ({"txt": b" smile "}, "smile"),
        ({"json": b'{"label": "smile"}', "cls": b"3"}, "smile"),
        ({"json": b'{"label": 7}'}, "7"),
        ({"json": b"[" * 9999, "cls": b"3"}, "3"),
        ({"json": b'{"label": ["smile"]}', "txt": b"\xff\xfe"}, "\ufffd\ufffd"),
        ({"txt": b"a caption\nof two lines"}, ""),
        ({"txt": b"../../etc"}, ""),
        ({"txt": b".hidden"}, ""),
        ({"txt": b"x" * 101}, ""),
        ({"txt": b"x" * (1 << 17)}, ""),
        ({}, ""),
    ],
)
def test_the_label_is_what_the_members_beside_say(
    tmp_path: Path, notes: dict[str, bytes], label: str
) -> None:
    assert told(tmp_path, **notes).label == label


def test_a_group_is_handed_on(tmp_path: Path) -> None:
    assert told(tmp_path, json=b'{"group": "a/b", "label": "x"}').group == ""
    assert told(tmp_path, json=b'{"group": "film 7", "label": "x"}').group == "film 7"


def test_a_note_without_a_picture_is_a_file_of_its_own(tmp_path: Path) -> None:
    found = found_in(tmp_path, tar_of("a.jpg", notes={"readme.txt": b"hello"}))
    assert [entry.name for entry in found.entries] == ["a.jpg", "readme.txt"]


def test_the_second_time_the_tar_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = found_in(tmp_path, tar_of("one.jpg", notes={"one.cls": b"3"}))
    path = tmp_path / "x.tar"
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", None)
        assert tars.contents(path, tmp_path / "indexes") == first
    os.utime(path, (1, 1))
    assert tars.contents(path, tmp_path / "indexes") == first


@pytest.mark.parametrize("text", ["", "[]", '{"stamp": 1}', '{"stamp": null, "entries": 3}'])
def test_a_damaged_index_is_made_anew(tmp_path: Path, text: str) -> None:
    first = found_in(tmp_path, tar_of("one.jpg"))
    (index,) = (tmp_path / "indexes").iterdir()
    index.write_text(text)
    assert tars.contents(tmp_path / "x.tar", tmp_path / "indexes") == first
    assert json.loads(index.read_text())["entries"]


@pytest.mark.parametrize("data", [b"", b"no tar", b"\x1f\x8b" + bytes(600), b"x" * 5000])
def test_what_is_no_tar_is_a_file_like_others(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    assert tars.contents(tmp_path / "x.tar", tmp_path / "indexes") is None


def test_names_cannot_climb(tmp_path: Path) -> None:
    found = found_in(tmp_path, tar_of("/etc/a.jpg", "../../b.jpg", "./c.jpg", "..", "x/../d.jpg"))
    assert [entry.name for entry in found.entries][:3] == ["etc/a.jpg", "b.jpg", "c.jpg"]
    assert found.entries[3].name.isdigit() and found.entries[4].name == "x/d.jpg"


def special(kind: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        add(tar, "odd.jpg", b"", type=kind, linkname="/etc/passwd")
        add(tar, "good.jpg")
    return target.getvalue()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "bad_link"),
        (tarfile.LNKTYPE, "bad_link"),
        (tarfile.FIFOTYPE, "not_a_file"),
        (tarfile.CHRTYPE, "not_a_file"),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes, reason: str) -> None:
    found = found_in(tmp_path, special(kind))
    assert [entry.refusal for entry in found.entries] == [reason, ""]


def test_folders_are_no_pictures(tmp_path: Path) -> None:
    found = found_in(tmp_path, special(tarfile.DIRTYPE))
    assert [entry.name for entry in found.entries] == ["good.jpg"]


def test_a_cut_within_a_picture_is_that_picture_s_reason(tmp_path: Path) -> None:
    whole = tar_of("one.jpg", "two.jpg")
    found = found_in(tmp_path, whole[: 512 + 512 + 512 + 5])
    assert [entry.refusal for entry in found.entries] == ["", "truncated"] and not found.damage


def test_a_cut_within_a_header_is_the_tar_s_reason(tmp_path: Path) -> None:
    found = found_in(tmp_path, tar_of("one.jpg", "two.jpg")[: 512 + 512 + 100])
    assert [entry.refusal for entry in found.entries] == [""] and found.damage == "truncated"


def test_a_tar_without_its_end_is_whole(tmp_path: Path) -> None:
    assert not found_in(tmp_path, tar_of("one.jpg")[: 512 + 512]).damage


def test_a_damaged_header_is_the_tar_s_reason(tmp_path: Path) -> None:
    data = bytearray(tar_of("one.jpg", "two.jpg", "three.jpg"))
    data[1024 + 5] ^= 1
    found = found_in(tmp_path, bytes(data))
    assert [entry.name for entry in found.entries] == ["one.jpg"] and found.damage == "corrupt"


def test_a_member_of_a_thousand_petabytes_is_not_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo("huge.jpg")
    member.size = 1 << 60
    found = found_in(tmp_path, member.tobuf(tarfile.GNU_FORMAT) + b"little")
    assert [entry.refusal for entry in found.entries] == ["truncated"]
    member.type = b"?"
    found = found_in(tmp_path, member.tobuf(tarfile.GNU_FORMAT) + b"little")
    assert [entry.refusal for entry in found.entries] == ["not_a_file"]


def test_a_header_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 5_000_000_000
    path = tmp_path / "x.tar"
    with open(path, "wb") as file:
        file.write(tar_of("one.jpg")[:1024] + long_name.tobuf(tarfile.GNU_FORMAT))
        file.truncate(5_000_010_000)  # a hole: takes no room
    found = tars.contents(path, tmp_path / "indexes")
    assert found and found.damage == "corrupt" and len(found.entries) == 1


def test_headers_that_call_for_more_headers_without_end_are_damage(tmp_path: Path) -> None:
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 1
    more = (long_name.tobuf(tarfile.GNU_FORMAT) + bytes(512)) * 3000
    found = found_in(tmp_path, tar_of("one.jpg")[:1024] + more)
    assert found.damage == "corrupt" and len(found.entries) == 1


WHOLE = tar_of("one.jpg", "a/" + "long" * 40 + ".jpg", "é.png", notes={"one.json": b'{"label": 1}'})


@given(st.integers(0, 1 << 32), st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_any_damage_ends_in_entries_and_reasons(seed: int, places: int) -> None:
    chance, data = random.Random(seed), bytearray(WHOLE)
    for _ in range(places):
        data[chance.randrange(len(data))] = chance.randrange(256)
    found = tars.walked(io.BytesIO(data), len(data))
    for entry in found.entries if found else ():
        assert entry.refusal or 0 <= entry.offset <= entry.offset + entry.size <= len(data)
        assert not entry.name.startswith("/") and ".." not in entry.name.split("/")


def test_docstrings_tell_the_truth() -> None:
    assert not doctest.testmod(tars).failed
