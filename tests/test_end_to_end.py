"""The main job from outside, as a user runs it: real faces, real training, real processes."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command
from PIL import Image

LABELS = ["none", "openmouth", "pouting", "smile"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, pipeline: Command) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "raw"
    pipeline("sample-data", "--output", folder, "--count", 14, "--no-video")
    return folder


@pytest.fixture(scope="module")
def trained(raw: Path, pipeline: Command) -> Path:
    processed = raw.parent / "processed"
    done = pipeline("train", "--raw", raw, "--processed", processed, "--epochs", 12)
    assert "on CPU" in done.stdout or "on GPU" in done.stdout
    assert "Validation accuracy" in done.stdout and "make predict" in done.stdout
    return processed


def status(
    pipeline: Command, raw: Path, processed: Path, *flags: str
) -> dict[str, dict[str, object]]:
    done = pipeline("status", "--json", "--raw", raw, "--processed", processed, *flags)
    return {stage["name"]: stage for stage in json.loads(done.stdout)["stages"]}


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_every_picture_is_accounted_for(pipeline: Command, raw: Path, trained: Path) -> None:
    stages = status(pipeline, raw, trained)
    before = sum(1 for path in raw.rglob("*") if path.is_file())
    for stage in stages.values():
        rejected = stage["rejected"]
        assert isinstance(rejected, dict) and isinstance(stage["kept"], int)
        assert stage["in"] == before == stage["kept"] + sum(rejected.values())
        assert stage["error"] == 0 and stage["up_to_date"] is True
        before = stage["kept"]
    assert stages["normalize"]["rejected"] == {"empty": 1, "not_an_image": 1, "truncated": 1}
    assert stages["screen"]["rejected"] == {"odd_aspect": 1}
    assert stages["dedupe"]["rejected"] == {"duplicate": 1}
    assert before >= 50


def test_the_data_set_loads_as_others_load_it(trained: Path) -> None:
    from torchvision.datasets import ImageFolder

    train = ImageFolder(str(trained / "dataset" / "train"))
    val = ImageFolder(str(trained / "dataset" / "val"))
    assert train.classes == val.classes == LABELS
    assert all(image.size == (128, 128) for image, _ in val)
    with open(trained / "dataset" / "metadata.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(train) + len(val)
    for row in rows:
        assert (trained / "dataset" / row["file_name"]).is_file()
        assert row["file_name"].startswith(f"{row['split']}/{row['label']}/")
        assert int(row["face_w"]) > 0


def test_the_ledger_knows_face_landmarks_and_crop(trained: Path) -> None:
    ledger = sqlite3.connect(trained / "ledger.sqlite")
    for (text,) in ledger.execute("SELECT facts FROM outcome WHERE stage = 'split'"):
        facts = json.loads(text)
        assert len(facts["face"]) == 4 and len(facts["landmarks"]) == 68
        left, top, side, same = facts["crop"]
        assert side == same > 0 and left >= 0 and top >= 0
    ledger.close()


def test_a_run_leaves_what_one_needs_to_go_on(trained: Path) -> None:
    run = trained / "runs" / "default"
    assert json.loads((run / "labels.json").read_text()) == LABELS
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert {"data/trainloss", "data/trainacc", "data/valloss", "data/valacc"} <= rows[0].keys()
    best = json.loads((run / "best.json").read_text())
    assert best["labels"] == LABELS and best["stages"]["lips"]["scale"] == 1.5
    assert best["numbers"]["data/valacc"] == rows[-1]["data/valacc"]  # one cycle ends at its best


def test_a_second_run_does_nothing(
    pipeline: Command, raw: Path, trained: Path, tree_digest: Callable[[Path], str]
) -> None:
    crops, originals = tree_digest(trained / "dataset"), tree_digest(raw)
    done = pipeline("train", "--raw", raw, "--processed", trained, "--epochs", 12)
    assert done.stdout.count("(up to date)") == 6 and "train: up to date" in done.stdout
    assert (crops, originals) == (tree_digest(trained / "dataset"), tree_digest(raw))


def test_prediction_answers_for_every_file(pipeline: Command, raw: Path, trained: Path) -> None:
    output = trained.parent / "predictions"
    done = pipeline("predict", "--processed", trained, "--input", raw, "--output", output)
    with open(output / "predictions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(1 for path in raw.rglob("*") if path.is_file())
    labelled = [row for row in rows if row["label"]]
    assert f"{len(labelled)} of {len(rows)} labelled" in done.stdout
    for row in labelled:
        shares = [float(row[f"p_{label}"]) for label in LABELS]
        assert sum(shares) == pytest.approx(1, abs=1e-3)
        assert row["label"] == LABELS[shares.index(max(shares))] and int(row["width"]) > 0
    reasons = {row["file"]: row["reason"] for row in rows if not row["label"]}
    assert reasons["smile/truncated.jpg"] == "truncated"
    assert reasons["none/no_face.jpg"] == "no_face"
    widths = [size_of(path)[0] for path in output.glob("smile-0*.jpg")]
    assert len(widths) == 14 and min(widths) >= 280


def test_prediction_sees_what_training_saw(trained: Path, raw: Path) -> None:
    import torch

    from pipeline.ledger import Ledger
    from pipeline.sample import Sample
    from stages.model.weights import load_model
    from stages.predict.chain import Chain
    from stages.training.data import load_crops, stack
    from stages.training.validation import logits_of

    network, description = load_model(trained / "runs" / "default")
    with Ledger(trained / "ledger.sqlite") as ledger:
        stored = list(ledger.samples("split", trained))[:12]
    crops = load_crops(stored, description.labels)
    chain = Chain.of(description)
    fresh = [crop for one in stored for crop in chain(Sample(one.key, "", raw / one.key))]
    images = [crop.image for crop in fresh if crop.image is not None]
    cpu = torch.device("cpu")
    before = logits_of(network, crops.pictures, description.recipe, cpu).softmax(1)
    after = logits_of(network, stack(images, description.side), description.recipe, cpu).softmax(1)
    assert len(images) == 12
    assert (before - after).abs().max().item() < 0.05  # the stored crops went through a JPEG


def test_only_what_must_be_is_redone(pipeline: Command, raw: Path, tmp_path: Path) -> None:
    mine, processed = tmp_path / "raw", tmp_path / "processed"
    shutil.copytree(raw, mine)
    where = ("--raw", mine, "--processed", processed)
    pipeline("split", *where)

    def written(folder: str) -> dict[str, int]:
        files = (processed / folder).rglob("*.jpg")
        return {path.name: path.stat().st_ino for path in files}

    before = {name: written(name) for name in ("normalized", "faces", "lips", "dataset")}
    os.utime(mine / "smile" / "smile_003.jpg")
    shutil.copyfile(mine / "smile" / "smile_004.jpg", tmp_path / "new.jpg")
    (tmp_path / "new.jpg").rename(mine / "smile" / "a copy.jpg")
    (mine / "none" / "none_005.jpg").unlink()
    pipeline("split", *where)
    after = {name: written(name) for name in before}
    changed = {
        name: sum(before[name].get(file) != inode for file, inode in files.items())
        for name, files in after.items()
    }
    assert changed["normalized"] == 2  # the touched one and the new one
    assert not any(name.startswith("none-005") for name in after["dataset"])
    # The copy's key comes first, so it is kept; the picture it repeats leaves.
    assert any(name.startswith("a-copy") for name in after["lips"])
    assert not any(name.startswith("smile-004") for name in after["lips"])
    assert changed["faces"] == changed["lips"] == 1

    done = pipeline("split", *where, "--lips.scale", "1.8")
    assert f"lips.scale 1.5 → 1.8: {len(after['faces'])} pictures will be redone" in done.stdout
    assert written("faces") == after["faces"]
    assert all(after["lips"][name] != inode for name, inode in written("lips").items())


def test_face_crops_and_whole_pictures_go_the_same_way(
    pipeline: Command, raw: Path, tmp_path: Path
) -> None:
    where = ("--raw", raw, "--processed", tmp_path)
    pipeline("train", *where, "--region", "face", "--epochs", "1", "--face-crop.size", "64")
    assert {size_of(path) for path in (tmp_path / "dataset").rglob("*.jpg")} == {(64, 64)}
    pipeline("train", *where, "--region", "whole", "--epochs", "1", "--name", "whole")
    stages = status(pipeline, raw, tmp_path, "--region", "whole")
    assert list(stages) == ["normalize", "screen", "dedupe", "split"]
    assert stages["split"]["kept"] == stages["dedupe"]["kept"]


def test_a_set_that_comes_divided_stays_so(pipeline: Command, raw: Path, tmp_path: Path) -> None:
    for place, path in enumerate(sorted(raw.rglob("*_0*.jpg"))):
        split = ("train", "train", "val", "test")[place % 4]
        target = tmp_path / "raw" / split / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    where = ("--raw", tmp_path / "raw", "--processed", tmp_path / "processed")
    pipeline("split", *where)
    for split in ("train", "val", "test"):
        came = {path.stem for path in (tmp_path / "raw" / split).rglob("*.jpg")}
        went = {
            path.stem.rpartition("-")[0].replace("-", "_")
            for path in (tmp_path / "processed" / "dataset" / split).rglob("*.jpg")
        }
        assert went and went <= came


def test_real_photographs_become_crops(
    pipeline: Command,
    photographs: Path,
    tmp_path: Path,
    tree_digest: Callable[[Path], str],
) -> None:
    raw = photographs / "london"
    before = tree_digest(raw)
    pipeline("split", "--raw", raw, "--processed", tmp_path)
    stages = status(pipeline, raw, tmp_path)
    assert stages["normalize"]["in"] == 120
    assert isinstance(stages["split"]["kept"], int) and stages["split"]["kept"] >= 116
    assert tree_digest(raw) == before
