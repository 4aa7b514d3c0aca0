"""The data set as shards: the same bytes for the same pictures; only what changed is written."""

from __future__ import annotations

import gc
import json
import os
import random
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pipeline import Home, chain, picture

from pipeline import files
from pipeline.sample import Sample
from pipeline.step import Step
from stages.partition import shards
from stages.split import Split

KEYS = st.sets(st.text("abcdefgh0123456789/.", min_size=1, max_size=12), max_size=300)


def samples(folder: Path, count: int, label: str = "smile") -> list[Sample]:
    """Files that stand for crops, nine of ten of them in train."""
    made = []
    for number in range(count):
        key, data = f"{label}/{number:04}.png", f"{label} {number}".encode()
        file = folder / "crops" / key
        files.write(file, data)
        side = "train" if number % 10 else "val"
        made.append(Sample(key, label, file, {"split": side}, files.digest(data)))
    return made


def tars(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tar")}


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tar")}


def numbers(keys: list[str], most: int) -> list[int]:
    found: list[int] = shards.numbers(shards.lots(keys), most).tolist()
    return found


@given(KEYS, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_every_key_has_a_shard_and_none_holds_more_than_it_may(keys: set[str], most: int) -> None:
    found = numbers(sorted(keys), most)
    assert len(found) == len(keys)
    assert all(found.count(number) <= most for number in found)


@given(KEYS, KEYS, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_new_keys_leave_the_others_in_their_shard_or_halve_it(
    old: set[str], new: set[str], most: int
) -> None:
    before = dict(zip(sorted(old), numbers(sorted(old), most), strict=True))
    grown = sorted(old | new, reverse=True)
    after = dict(zip(grown, numbers(grown, most), strict=True))
    # How often all shards were halved is the same for every key.
    assert any(all(after[key] >> halved == before[key] for key in old) for halved in range(65))


def test_the_order_of_pictures_and_the_times_of_files_change_no_byte(tmp_path: Path) -> None:
    pictures = samples(tmp_path, 230)
    shards.pack(tmp_path / "one", pictures, 100)
    for sample in pictures:
        os.utime(str(sample.file), (1, 1))
    random.Random(1).shuffle(pictures)
    shards.pack(tmp_path / "other", pictures, 100)
    assert tars(tmp_path / "one") == tars(tmp_path / "other")
    assert len(tars(tmp_path / "one")) == 5  # four of train, one of val


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset's own
def test_webdataset_reads_what_is_written(tmp_path: Path) -> None:
    pictures = samples(tmp_path, 60, "à côté") + samples(tmp_path, 70)
    pictures[7] = pictures[7].with_facts(group="a person")
    shards.pack(tmp_path / "set", pictures, 100)
    expected = {
        sample.key: (sample.file.read_bytes(), b"1" if sample.label == "à côté" else b"0", sample)
        for sample in pictures
        if sample.facts["split"] == "train"
    }
    names = str(tmp_path / "set" / "train-{000000..000001}.tar")
    for found in webdataset.WebDataset(names, shardshuffle=False):
        about = json.loads(found["json"])
        data, target, sample = expected.pop(about["key"])
        assert (found["jpg"], found["cls"], about["label"]) == (data, target, sample.label)
        assert about.get("group") == sample.facts.get("group")
    assert not expected
    gc.collect()


def test_the_index_counts_what_is_there(tmp_path: Path) -> None:
    shards.pack(tmp_path / "set", samples(tmp_path, 230), 100)
    index = shards.read_index(tmp_path / "set")
    assert index.labels == ["smile"]
    assert sum(shard.pictures for shard in index.of("train")) == 207
    for name, shard in index.shards.items():
        with tarfile.open(tmp_path / "set" / name) as tar:
            assert len(tar.getnames()) == 3 * shard.pictures
        assert (tmp_path / "set" / name).stat().st_size == shard.bytes


def test_a_new_picture_changes_one_shard(tmp_path: Path) -> None:
    pictures = samples(tmp_path, 230)
    shards.pack(tmp_path / "set", pictures[:-1], 100)
    before = times(tmp_path / "set")
    shards.pack(tmp_path / "set", pictures, 100)
    after = times(tmp_path / "set")
    assert len({name for name in after if after[name] != before[name]}) == 1


def test_a_new_label_changes_the_classes_in_every_shard(tmp_path: Path) -> None:
    pictures = samples(tmp_path, 230)
    shards.pack(tmp_path / "set", pictures, 100)
    shards.pack(tmp_path / "set", pictures + samples(tmp_path, 20, "none"), 100)
    shards.pack(tmp_path / "anew", pictures + samples(tmp_path, 20, "none"), 100)
    assert tars(tmp_path / "set") == tars(tmp_path / "anew")


def test_a_kill_between_two_shards_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set"
    shards.pack(folder, samples(tmp_path, 230), 100)
    grown = samples(tmp_path, 460)
    shards.pack(tmp_path / "anew", grown, 100)
    add = tarfile.TarFile.addfile

    def killed(tar: tarfile.TarFile, member: tarfile.TarInfo, data: object) -> None:
        if member.name.startswith("smile/0300"):
            raise KeyboardInterrupt
        add(tar, member, data)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tarfile.TarFile, "addfile", killed)
        shards.pack(folder, grown, 100)
    index = shards.read_index(folder)
    assert all(
        (folder / name).read_bytes() == (tmp_path / "anew" / name).read_bytes()
        for name in index.shards
    )
    shards.pack(folder, grown, 100)
    assert tars(folder) == tars(tmp_path / "anew")


def steps(**settings: object) -> list[Step]:
    *before, last = chain()
    return [*before, replace(last, stage=Split(shard_size=100, **settings))]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """130 pictures of two labels in shards, without a tree."""
    home = Home(tmp_path_factory.mktemp("packed"))
    for seed in range(130):
        home.put(f"{'ab'[seed % 2]}/{seed:03}.jpg", picture(seed, shape=(8, 8, 3)))
    home.run(steps(format="webdataset"))
    return home


def dataset(home: Home) -> set[str]:
    folder = home.path / "processed" / "dataset"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


SHARDS = {"train-000000.tar", "train-000001.tar", "val-000000.tar", "shards.json", "metadata.csv"}


def test_shards_take_the_place_of_the_tree_and_rows_name_the_crops(packed: Home) -> None:
    assert dataset(packed) == SHARDS
    outputs = packed.rows("output", "stage = 'split'")
    assert len(outputs) == 130
    assert all((packed.path / "processed" / output).is_file() for (output,) in outputs)
    assert packed.run(steps(format="webdataset"))[-1].endswith("(up to date)")


def test_a_shard_that_is_gone_is_written_anew_and_no_other(packed: Home) -> None:
    folder = packed.path / "processed" / "dataset"
    before, bytes_before = times(folder), tars(folder)
    (folder / "train-000001.tar").unlink()
    packed.run(steps(format="webdataset"))
    after = times(folder)
    assert {name for name in after if after[name] != before[name]} == {"train-000001.tar"}
    assert tars(folder) == bytes_before


def test_the_tree_comes_back_without_a_trace_of_shards(packed: Home) -> None:
    packed.run(steps())
    paths = dataset(packed)
    assert len(paths) == 131 and not any("shard" in path or ".tar" in path for path in paths)
    packed.run(steps(format="both"))
    assert dataset(packed) == paths | SHARDS
    packed.run(steps(format="webdataset"))
    assert dataset(packed) == SHARDS


def test_half_written_shards_and_strange_ones_are_removed(packed: Home) -> None:
    folder = packed.path / "processed" / "dataset"
    for name in (".new-1-train-000000.tar", "train-000007.tar"):
        (folder / name).write_bytes(b"half")
    packed.run(steps(format="webdataset"))
    assert dataset(packed) == SHARDS
    assert packed.run(steps(format="webdataset"))[-1].endswith("(up to date)")


@pytest.mark.parametrize("text", ["", "[]", '{"labels": [], "shards": [{"name": "x"}]}'])
def test_a_damaged_index_is_written_anew(packed: Home, text: str) -> None:
    folder = packed.path / "processed" / "dataset"
    before = (folder / shards.INDEX).read_bytes()
    (folder / shards.INDEX).write_text(text)
    packed.run(steps(format="webdataset"))
    assert (folder / shards.INDEX).read_bytes() == before


def test_shards_too_small_to_be_even_are_refused() -> None:
    with pytest.raises(ValueError, match="shard_size must be 100 or more"):
        Split(shard_size=99)
