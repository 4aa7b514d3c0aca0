"""Other people's sets come in with their labels, people and splits, each kind by its own layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_files import put
from small_pipeline import picture

from pipeline.__main__ import main
from pipeline.sources import read

Rows = list[tuple[str, str, str, str]]


def take(home: Path, *words: object) -> int:
    where = ["--raw", home / "raw", "--processed", home / "processed"]
    return main(["import", *map(str, [*words, *where])])


def taken(home: Path) -> Rows:
    """Label, title, group and split of every picture that is in its place."""
    rows: Rows = []
    for folder in sorted((home / "raw").iterdir()):
        for source in read(folder):
            assert (folder / source.file).is_file()
            rows.append((folder.name, source.title, source.group, source.split))
    return rows


def make_imagefolder(folder: Path) -> Path:
    for number, key in enumerate(
        ("train/smile/a.jpg", "valid/smile/a.jpg", "train/none/deep/b.PNG")
    ):
        put(folder / key, picture(number))
    for key in (".cache/smile/x.jpg", "train/@eaDir/x.jpg", "train/smile/._a.jpg"):
        put(folder / key, picture(9))
    return folder


def make_csv(folder: Path) -> Path:
    put(folder / "pictures/a.jpg", picture(0))
    table = "path,label,group,split\npictures/a.jpg,smile,film 1,Validation\n"
    return put(folder / "table.csv", table.encode())


def make_fer2013(folder: Path) -> Path:
    grey = " ".join(str(value % 256) for value in range(48 * 48))
    rows = [f'3,"{grey}",Training', f'6,"{grey}",PublicTest', f'0,"{grey}",PrivateTest']
    put(folder / "fer2013.csv", "\n".join(["emotion,pixels,Usage", *rows, ""]).encode())
    return folder


def make_ck48(folder: Path) -> Path:
    put(folder / "happy/S010_004_00000017.png", picture(0))
    put(folder / "anger/S010_004_00000018.png", picture(1))
    return folder


def make_jaffe(folder: Path) -> Path:
    put(folder / "KA.AN1.39.tiff", picture(0))
    put(folder / "YM.HA2.53.tiff", picture(1))
    put(folder / "README", b"about")
    return folder


def make_celeba(folder: Path) -> Path:
    for number in range(1, 5):
        put(folder / f"img_align_celeba/00000{number}.jpg", picture(number))
    attributes = ["Mouth_Slightly_Open Smiling", "000001.jpg  1  1", "000002.jpg  1 -1"]
    attributes += ["000003.jpg -1 -1", "000004.jpg -1  1"]
    put(folder / "Anno/list_attr_celeba.txt", "\n".join(["4", *attributes, ""]).encode())
    put(folder / "Anno/identity_CelebA.txt", b"000001.jpg 2880\n000002.jpg 2937\n")
    put(folder / "Eval/list_eval_partition.txt", b"000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n")
    return folder


def make_hf(folder: Path) -> Path:
    put(folder / "train/a.jpg", picture(0))
    put(folder / "test/b.jpg", picture(1))
    put(folder / "train/metadata.jsonl", json.dumps({"file_name": "a.jpg", "label": 3}).encode())
    put(folder / "test/metadata.csv", b"file_name,label\nb.jpg,smile\n")
    return folder


SETS: dict[str, tuple[Callable[[Path], Path], Rows]] = {
    "imagefolder": (
        make_imagefolder,
        [
            ("none", "deep-b.PNG", "", "train"),
            ("smile", "a.jpg", "", "train"),
            ("smile", "a.jpg", "", "val"),
        ],
    ),
    "csv": (make_csv, [("smile", "pictures/a.jpg", "film 1", "val")]),
    "fer2013": (
        make_fer2013,
        [
            ("angry", "fer2013-00002", "", "test"),
            ("happy", "fer2013-00000", "", "train"),
            ("neutral", "fer2013-00001", "", "val"),
        ],
    ),
    "ck48": (
        make_ck48,
        [
            ("anger", "S010_004_00000018.png", "S010", ""),
            ("happy", "S010_004_00000017.png", "S010", ""),
        ],
    ),
    "jaffe": (
        make_jaffe,
        [("angry", "KA.AN1.39.tiff", "KA", ""), ("happy", "YM.HA2.53.tiff", "YM", "")],
    ),
    "celeba": (
        make_celeba,
        [
            ("none", "000003.jpg", "", "test"),
            ("openmouth", "000002.jpg", "2937", "val"),
            ("smile", "000001.jpg", "2880", "train"),
            ("smile", "000004.jpg", "", ""),
        ],
    ),
    "hf": (make_hf, [("3", "train-a.jpg", "", "train"), ("smile", "test-b.jpg", "", "test")]),
}
RULES = "Smiling=1:smile,Mouth_Slightly_Open=1:openmouth,*:none"


def words(kind: str, made: Path) -> list[object]:
    return [kind, made, *(["--map", RULES] if kind == "celeba" else [])]


@pytest.mark.parametrize("kind", SETS)
def test_each_kind_comes_in_with_labels_groups_and_splits(kind: str, tmp_path: Path) -> None:
    make, expected = SETS[kind]
    assert take(tmp_path, *words(kind, make(tmp_path / "set"))) == 0
    assert sorted(taken(tmp_path)) == expected


@pytest.mark.parametrize("kind", SETS)
def test_a_second_import_adds_nothing(kind: str, tmp_path: Path) -> None:
    make, expected = SETS[kind]
    made = make(tmp_path / "set")
    assert take(tmp_path, *words(kind, made)) == take(tmp_path, *words(kind, made)) == 0
    assert sorted(taken(tmp_path)) == expected


@pytest.mark.parametrize("kind", SETS)
def test_a_set_of_another_kind_gets_a_sentence(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = put(tmp_path / "set" / "loose.jpg", picture(0)).parent
    assert take(tmp_path, *words(kind, other)) == 2
    said = capsys.readouterr().err
    assert str(other) in said and len(said.splitlines()) == 1
    assert not (tmp_path / "raw").exists()


def test_grey_values_become_pixels(tmp_path: Path) -> None:
    take(tmp_path, "fer2013", make_fer2013(tmp_path / "set"))
    (file,) = (tmp_path / "raw" / "happy").glob("*.png")
    from PIL import Image as Pillow

    expected = np.arange(48 * 48).reshape(48, 48) % 256
    assert np.array_equal(np.asarray(Pillow.open(file))[:, :, 0], expected)


def test_labels_are_renamed_and_dropped(tmp_path: Path) -> None:
    names = put(tmp_path / "names.csv", b"from,to\nhappy,smile\nangry,\n")
    assert take(tmp_path, "fer2013", make_fer2013(tmp_path / "set"), "--labels", names) == 0
    assert [row[0] for row in taken(tmp_path)] == ["neutral", "smile"]


def test_missing_pictures_are_named_and_give_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = make_csv(tmp_path / "set")
    table.write_text(table.read_text() + "pictures/gone.jpg,smile,,\n")
    assert take(tmp_path, "csv", table) == 1
    assert (
        f"{table.parent / 'pictures' / 'gone.jpg'} is named by the set" in capsys.readouterr().out
    )
    assert len(taken(tmp_path)) == 1


def test_the_user_s_own_files_are_not_changed(tmp_path: Path) -> None:
    folder = make_ck48(tmp_path / "set")
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    take(tmp_path, "ck48", folder)
    assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before


@pytest.mark.parametrize("label", ["../up", "a/b", "train"])
def test_a_label_of_a_set_cannot_leave_raw(label: str, tmp_path: Path) -> None:
    put(tmp_path / "set/a.jpg", picture(0))
    table = put(tmp_path / "set/table.csv", f"path,label\na.jpg,{label}\n".encode())
    assert take(tmp_path, "csv", table) == 2
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("rules", ["Smiling=1", "smile", ":x"])
def test_rules_that_cannot_be_read_are_wrong_usage(rules: str, tmp_path: Path) -> None:
    assert take(tmp_path, "celeba", make_celeba(tmp_path / "set"), "--map", rules) == 2
