"""Other people's sets: each kind yields its pictures with label, group and split."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline import raw
from pipeline.labels import split_named
from pipeline.trouble import Usage
from stages.collecting.placing import Item

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"),
    *(".heic", ".heif", ".avif", ".jp2"),
)
FER2013_LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FER2013_SPLITS = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
FER2013_SIDE = 48
JAFFE_LABELS = {
    "AN": "angry",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happy",
    "NE": "neutral",
    "SA": "sad",
    "SU": "surprise",
}
CELEBA_SPLITS = {"0": "train", "1": "val", "2": "test"}


def imagefolder(folder: Path, mapping: Mapping[str, str]) -> Iterator[Item]:
    """Folders of labels, alone or below folders of splits, as ImageFolder reads them."""
    expected = "<label>/<picture> or <split>/<label>/<picture>"
    for path in _pictures(folder, expected):
        *above, name = path.relative_to(folder).parts
        split = split_named(above[0]) if above else ""
        if split:
            above = above[1:]
        if not above:
            raise _unlike(folder, "imagefolder", expected)
        yield Item(above[0], "-".join([*above[1:], name]), path, split=split)


def csv_table(path: Path, mapping: Mapping[str, str]) -> Iterator[Item]:
    """A table with columns path and label, if wanted also group and split."""
    for row in _rows(path, "csv", {"path", "label"}):
        split = split_named(row.get("split", ""))
        yield Item(
            row["label"], row["path"], path.parent / row["path"], row.get("group", ""), split
        )


def fer2013(path: Path, mapping: Mapping[str, str]) -> Iterator[Item]:
    """fer2013.csv: a row a picture, with emotion's number, 48×48 grey values, and usage."""
    table = path / "fer2013.csv" if path.is_dir() else path
    for number, row in enumerate(_rows(table, "fer2013", {"emotion", "pixels"})):
        try:
            grey = np.array(row["pixels"].split(), np.uint8).reshape(FER2013_SIDE, FER2013_SIDE)
            label = FER2013_LABELS[int(row["emotion"])]
        except (ValueError, IndexError, OverflowError) as error:
            raise Usage(f"{table}, picture {number}: not as in fer2013 ({error})") from error
        split = FER2013_SPLITS.get(row.get("Usage", ""), "")
        yield Item(label, f"fer2013-{number:05d}", grey, split=split)


def ck48(folder: Path, mapping: Mapping[str, str]) -> Iterator[Item]:
    """CK+48: <emotion>/S010_004_00000017.png; the person, S010, is the group."""
    expected = "<emotion>/S<person>_<sequence>_<frame>.png"
    for path in _pictures(folder, expected):
        found = re.match(r"(S\d+)_\d+_\d+", path.stem)
        if not found:
            raise _unlike(folder, "ck48", expected, path)
        yield Item(path.parent.name, path.name, path, group=found[1])


def jaffe(folder: Path, mapping: Mapping[str, str]) -> Iterator[Item]:
    """JAFFE: KA.AN1.39.tiff; the person, KA, is the group, AN the expression."""
    expected = "<person>.<expression><number>.<number>.tiff"
    for path in _pictures(folder, expected):
        found = re.match(r"([A-Z]{2})[.-]([A-Z]{2})\d", path.stem)
        if not found or found[2] not in JAFFE_LABELS:
            raise _unlike(folder, "jaffe", expected, path)
        yield Item(JAFFE_LABELS[found[2]], path.name, path, group=found[1])


def celeba(folder: Path, mapping: Mapping[str, str]) -> Iterator[Item]:
    """CelebA: the table of attributes and img_align_celeba/; `mapping` makes labels of attributes,
    the first that fits: {"Smiling=1": "smile", "*": "none"}. People and partition, where their
    tables are there, become groups and splits.
    """
    expected = "list_attr_celeba.txt (or .csv) and img_align_celeba/"
    if not mapping:
        raise Usage("celeba has attributes for labels: --map Smiling=1:smile,*:none")
    attributes = _celeba_table(folder, "list_attr_celeba")
    if not attributes:
        raise _unlike(folder, "celeba", expected)
    people = _celeba_table(folder, "identity_CelebA")
    partition = _celeba_table(folder, "list_eval_partition")
    pictures = {path.name: path for path in _pictures(folder, expected)}
    for name, values in attributes.items():
        label = next((mapping[rule] for rule in mapping if _fits(rule, values)), "")
        if label and name in pictures:
            person = next(iter(people.get(name, {}).values()), "")
            part = next(iter(partition.get(name, {}).values()), "")
            split = CELEBA_SPLITS.get(part, "")
            yield Item(label, name, pictures[name], group=person, split=split)


def _fits(rule: str, values: Mapping[str, str]) -> bool:
    """Whether a picture's attributes meet "Smiling=1"; 0 and -1 both mean that it has it not."""
    if rule == "*":
        return True
    name, _, wanted = rule.partition("=")
    if name not in values:
        raise Usage(f"--map: celeba has no attribute {name!r}; it has {', '.join(values)}")
    return (values[name] == "1") == (wanted == "1")


def _celeba_table(folder: Path, name: str) -> dict[str, dict[str, str]]:
    """Rows by picture, of the set's own form (blanks between values) or of the one with commas."""
    paths = [path for path in sorted(folder.rglob(f"{name}.*")) if path.suffix in (".txt", ".csv")]
    if not paths:
        return {}
    lines = paths[0].read_text(encoding="utf-8").splitlines()
    cells = [line.replace(",", " ").split() for line in lines if line.strip()]
    if cells and len(cells[0]) == 1 and cells[0][0].isdecimal():
        cells = cells[1:]  # how many rows there are
    header: list[str] = []
    if cells and "." not in cells[0][-1] and "." not in cells[0][0]:
        header = [cell for cell in cells.pop(0) if cell != "image_id"]
    return {row[0]: dict(zip(header or ["value"], row[1:], strict=False)) for row in cells if row}


def hf(folder: Path, mapping: Mapping[str, str]) -> Iterator[Item]:
    """Hugging Face's imagefolder: metadata.jsonl or metadata.csv beside the pictures, with
    file_name and label; folders train, test and the like are splits.
    """
    tables = sorted([*folder.rglob("metadata.jsonl"), *folder.rglob("metadata.csv")])
    if not tables:
        raise _unlike(folder, "hf", "metadata.jsonl or metadata.csv beside the pictures")
    for table in tables:
        parts = table.relative_to(folder).parts[:-1]
        split = split_named(parts[0]) if parts else ""
        for row in _rows(table, "hf", {"file_name", "label"}):
            file, own = table.parent / row["file_name"], split_named(row.get("split", ""))
            name = "-".join([*parts, row["file_name"]])
            yield Item(row["label"], name, file, row.get("group", ""), own or split)


Kind = Callable[[Path, Mapping[str, str]], Iterator[Item]]
KINDS: dict[str, Kind] = {
    "imagefolder": imagefolder,
    "csv": csv_table,
    "fer2013": fer2013,
    "ck48": ck48,
    "jaffe": jaffe,
    "celeba": celeba,
    "hf": hf,
}


def _pictures(folder: Path, expected: str) -> list[Path]:
    """Files below a folder that are named as pictures, sorted; hidden ones and what programs left
    behind are left out.
    """
    if not folder.is_dir():
        raise Usage(f"{folder} is not a folder: expected one with {expected}")
    paths = (Path(file.path) for file in raw.find(folder, follow_links=True).files)
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )


def _rows(path: Path, kind: str, needed: set[str]) -> Iterable[dict[str, str]]:
    """Rows of a table, CSV or JSON lines. Raises Usage where columns are missing."""
    csv.field_size_limit(1 << 20)
    try:
        with open(path, encoding="utf-8-sig", newline="") as table:
            rows = map(json.loads, table) if path.suffix == ".jsonl" else csv.DictReader(table)
            for row in rows:
                cells = {name: str(cell) for name, cell in row.items() if cell is not None}
                if missing := needed - cells.keys():
                    there = ", ".join(map(str, row))
                    raise Usage(
                        f"{path} is no table of kind {kind}: columns {', '.join(sorted(missing))} "
                        f"are missing; there are {there}"
                    )
                yield cells
    except (OSError, ValueError, csv.Error) as error:
        raise Usage(f"{path} cannot be read as a table of kind {kind} ({error})") from error


def _unlike(folder: Path, kind: str, expected: str, path: Path | None = None) -> Usage:
    there = (
        path.relative_to(folder)
        if path
        else ", ".join(sorted(p.name for p in folder.iterdir())[:5])
    )
    return Usage(f"{folder} is no set of kind {kind}: expected {expected}; there is {there}")
