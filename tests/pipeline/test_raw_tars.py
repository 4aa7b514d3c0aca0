"""Tars in the raw folder: their pictures have labels, keys and rows as if they were unpacked."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from small_pipeline import picture, put

from pipeline import raw
from pipeline.__main__ import main
from pipeline.ledger import Ledger
from pipeline.listing import Found


def tar_of(**members: bytes) -> bytes:
    """A tar of these files; a name's first underscore stands for the dot."""
    return tar_of_all((name.replace("_", ".", 1), data) for name, data in members.items())


def tar_of_all(members: Iterable[tuple[str, bytes]]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return target.getvalue()


def found_in(root: Path) -> dict[str, Found]:
    listing = raw.find(root, indexes=root.parent / "indexes")
    return raw.without_clashes(listing.files)


def test_a_tar_in_a_label_s_folder_is_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "raw" / "smile" / "x.tar", tar_of(a_jpg=b"one", a_cls=b"7", b_png=b"two"))
    found = found_in(tmp_path / "raw")
    assert {key: (file.label, file.refusal) for key, file in found.items()} == {
        "smile/x.tar/a.jpg": ("smile", ""),
        "smile/x.tar/b.png": ("smile", ""),
    }
    assert found["smile/x.tar/b.png"].place.read_bytes() == b"two"


def test_members_tell_the_label_where_no_folder_does(tmp_path: Path) -> None:
    data = tar_of(a_jpg=b"x", a_cls=b"3", b_jpg=b"y", b_json=b'{"label": "smile", "group": "p7"}')
    put(tmp_path / "raw" / "train-000000.tar", data)
    put(tmp_path / "raw" / "val-000000.tar", tar_of(c_jpg=b"z", c_cls=b"3"))
    found = found_in(tmp_path / "raw")
    assert {key: dict(file.facts) for key, file in found.items()} == {
        "3/train-000000.tar/a.jpg": {"given_split": "train"},
        "smile/train-000000.tar/b.jpg": {"given_split": "train", "given_group": "p7"},
        "3/val-000000.tar/c.jpg": {"given_split": "val"},
    }


def test_a_picture_without_a_label_says_so(tmp_path: Path) -> None:
    put(tmp_path / "raw" / "x.tar", tar_of(a_jpg=b"x"))
    (file,) = found_in(tmp_path / "raw").values()
    assert (file.key, file.label, file.refusal) == ("x.tar/a.jpg", "", "no_label")


def test_of_two_members_with_one_name_both_have_a_row(tmp_path: Path) -> None:
    put(tmp_path / "raw" / "a" / "x.tar", tar_of_all([("1.jpg", b"x"), ("1.jpg", b"y")] * 2))
    found = found_in(tmp_path / "raw")
    assert [file.refusal for file in found.values()] == ["", *["name_clash"] * 3]


def test_what_programs_left_in_a_tar_is_counted_and_left_out(tmp_path: Path) -> None:
    members = [("1.jpg", b"x"), ("__MACOSX/._1.jpg", b"y"), ("._1.jpg", b"z")]
    put(tmp_path / "raw" / "a" / "x.tar", tar_of_all(members))
    listing = raw.find(tmp_path / "raw", indexes=tmp_path / "indexes")
    assert listing.keys() == ["a/x.tar/1.jpg"] and listing.leftovers.total() == 2


def test_another_tar_in_its_place_is_another_stamp(tmp_path: Path) -> None:
    path = put(tmp_path / "raw" / "a" / "x.tar", tar_of(a_jpg=b"x", b_jpg=b"y"))
    before = {file.stamp for file in found_in(tmp_path / "raw").values()}
    os.utime(path, (1, 1))
    after = {file.stamp for file in found_in(tmp_path / "raw").values()}
    assert len(before) == len(after) == 2 and not before & after


@pytest.mark.parametrize(
    ("damage", "reasons"),
    [
        (lambda data: data[:100], ["not_an_image"]),  # no tar, so a file like others
        (lambda data: data[: 1024 + 512 + 1], ["not_an_image", "truncated"]),
        (lambda data: data[: 1024 + 7], ["not_an_image", "truncated"]),
        (lambda data: data[:1024] + b"x" * 512 + data[1536:], ["corrupt", "not_an_image"]),
        (lambda _: b"", ["empty"]),
    ],
)
def test_a_damaged_tar_ends_in_reasons_and_is_left_as_it_is(
    tmp_path: Path, damage: Callable[[bytes], bytes], reasons: list[str]
) -> None:
    data = damage(tar_of(a_jpg=b"x" * 500, b_jpg=b"y" * 500))
    path = put(tmp_path / "raw" / "a" / "x.tar", data)
    assert main(["normalize", *words(tmp_path, "raw", "processed")]) == 0
    with Ledger(tmp_path / "processed" / "ledger.sqlite") as ledger:
        assert sorted(entry.reason for entry in ledger.entries("normalize")) == reasons
    assert path.read_bytes() == data


def test_the_list_of_a_tar_lies_in_the_scratch_folder_of_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    put(tmp_path / "raw" / "a" / "x.tar", tar_of(a_jpg=b"x"))
    where = ["--raw", tmp_path / "raw", "--processed", "memory://lists/p", "--workers", "0"]
    scratch = tmp_path / "scratch"
    assert main(["normalize", *map(str, where), "--scratch", str(scratch)]) == 0
    assert len(list(scratch.glob("*/cache/tars/*.json"))) == 1
    assert not (tmp_path / "home").exists()


def test_a_data_set_of_shards_is_the_raw_folder_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same pictures, on the same sides. A second run does nothing; a changed tar is redone."""
    for seed in range(40):
        path = tmp_path / "raw" / "ab"[seed % 2] / f"p{seed // 4}-{seed:03}.jpg"
        put(path, picture(seed, shape=(40, 40, 3)))
    group = ("--group-by", r"(p\d+)", "--format", "webdataset")
    assert main(["split", *words(tmp_path, "raw", "one"), *group]) == 0
    shards = tmp_path / "one" / "dataset"
    for name in ("metadata.csv", "shards.json"):
        (shards / name).unlink()
    again = ["split", *words(tmp_path, "one/dataset", "two")]
    assert main(again) == 0
    assert sides(tmp_path / "two") == sides(tmp_path / "one")
    capsys.readouterr()
    assert main(again) == 0
    assert capsys.readouterr().out.count("(up to date)") == 4
    os.utime(shards / "val-000000.tar", (1, 1))
    assert main(again) == 0
    assert "normalize: 40 in, 40 kept" in (printed := capsys.readouterr().out)
    assert "(up to date)" not in printed.splitlines()[0]


def words(folder: Path, raw_folder: str, processed: str) -> list[str]:
    return [
        *("--raw", str(folder / raw_folder), "--processed", str(folder / processed)),
        *("--region", "whole", "--workers", "0"),
    ]


def sides(processed: Path) -> dict[str, tuple[str, str]]:
    """Label and side by the picture's bytes."""
    with Ledger(processed / "ledger.sqlite") as ledger:
        samples = list(ledger.samples("split", processed))
    return {sample.digest: (sample.label, sample.facts["split"]) for sample in samples}
