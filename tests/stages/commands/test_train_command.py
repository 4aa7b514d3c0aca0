"""The command that trains: done once for the same settings and data, and again for others."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_sets import epochs_in, flags, put, put_divided, train
from torch.nn import functional as F

from pipeline.__main__ import main
from pipeline.ledger import Ledger
from stages.commands.train import Train
from stages.model.weights import load_model
from stages.partition.given import side_of
from stages.training.calibration import temperature_of
from stages.training.data import load_crops
from stages.training.intervals import if_wide
from stages.training.recipes import RECIPES, Recipe
from stages.training.validation import logits_of

QUICK = ("--epochs", "1", "--batch", "16", "--name", "quick")
COUNTS = {"smile": 12, "none": 13, "10 pouting": 11, "2 openmouth": 11}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    put(tmp_path / "raw", COUNTS)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("trained")
    put(home / "raw", COUNTS)
    assert train(home, *QUICK) == 0
    return home


def run_of(home: Path) -> Path:
    return home / "processed" / "runs" / "quick"


def stamp(home: Path) -> int:
    return (run_of(home) / "best.safetensors").stat().st_mtime_ns


def test_a_second_call_finds_it_done_and_loads_no_torch(trained: Path) -> None:
    before = stamp(trained)
    argv = ["train", *flags(trained), *QUICK]
    code = (
        f"import sys\nfrom pipeline.__main__ import main\ncode = main({argv!r})\n"
        "print(sorted({'torch', 'torchvision', 'tensorboard'} & set(sys.modules)))\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said = done.stdout.splitlines()
    assert (done.returncode, said[-1]) == (0, "[]"), done.stderr
    accuracy = json.loads((run_of(trained) / "run.json").read_text())["best"]["data/valacc"]
    assert said[-2] == (
        f"train: up to date. Validation accuracy {accuracy:.1%} (epoch 1"
        f"{if_wide(accuracy, 4)}), model in "
        f"{run_of(trained)}; next: make predict PROCESSED={trained}/processed "
        "INPUT=<picture or folder>"
    )
    assert stamp(trained) == before


def test_resume_of_a_finished_run_does_nothing(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stamp(trained)
    assert train(trained, *QUICK, "--resume") == 0
    assert "train: up to date. " in capsys.readouterr().out and stamp(trained) == before


def test_labels_are_in_the_order_of_their_names_everywhere(trained: Path) -> None:
    labels = sorted(COUNTS)
    assert labels == ["10 pouting", "2 openmouth", "none", "smile"]
    assert json.loads((run_of(trained) / "labels.json").read_text()) == labels
    network, description = load_model(run_of(trained))
    assert description.labels == labels
    assert description.recipe.epochs == 1 and description.region == "whole"
    written = json.loads((run_of(trained) / "evaluation.json").read_text())["val"]
    assert list(written["recall"]) == labels
    assert [sum(row) for row in written["confusion"]] == [1, 1, 1, 1]
    assert description.side == (description.recipe.side or 32) and not network.training


def test_the_temperature_that_validation_asks_for_is_kept_and_used(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(home, *QUICK, "--epochs", "4") == 0
    network, description = load_model(run_of(home))
    with Ledger(home / "processed" / "ledger.sqlite") as ledger:
        samples = [
            sample
            for sample in ledger.samples("split", home / "processed")
            if side_of(sample.facts) == "val"
        ]
    val = load_crops(samples, description.labels, description.recipe.side)
    logits = logits_of(network, val.pictures, description.recipe, torch.device("cpu"))
    temperature = temperature_of(logits, val.classes)
    assert description.temperature == pytest.approx(temperature, abs=1e-3) != 1
    assert f"train: temperature {temperature:.2f}, fitted on validation" in capsys.readouterr().out
    judged = json.loads((run_of(home) / "evaluation.json").read_text())["val"]
    loss = F.cross_entropy(logits / description.temperature, val.classes).item()
    assert judged["loss"] == pytest.approx(loss)
    assert (run_of(home) / "last.json").read_bytes() == (run_of(home) / "best.json").read_bytes()


def test_where_validation_chose_the_weights_it_does_not_choose_the_temperature(home: Path) -> None:
    assert train(home, *QUICK, "--schedule", "constant") == 0
    assert load_model(run_of(home))[1].temperature == 1


def test_a_run_without_epochs_says_and_keeps_how_many_it_takes(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("--batch", "8", "--patience", "1", "--name", "quick")
    assert train(home, *settings) == 0
    _, description = load_model(run_of(home))
    epochs = description.recipe.epochs
    assert epochs == Recipe(batch=8).sized(43).epochs > 20
    assert f", {epochs} epochs\n" in capsys.readouterr().out
    assert train(home, *settings) == 0
    assert last_line(capsys).startswith("train: up to date. ")


def test_a_changed_setting_and_changed_pictures_train_again(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(home, *QUICK) == 0
    assert train(home, *QUICK, "--epochs", "2") == 0
    assert "up to date" not in last_line(capsys) and epochs_in(run_of(home)) == [1, 2]
    weights = (run_of(home) / "last.safetensors").read_bytes()
    next((home / "raw" / "smile").iterdir()).unlink()
    assert train(home, *QUICK, "--epochs", "2") == 0
    assert "up to date" not in last_line(capsys)
    assert (run_of(home) / "last.safetensors").read_bytes() != weights
    assert train(home, *QUICK, "--epochs", "2") == 0
    assert last_line(capsys).startswith("train: up to date. ")
    (run_of(home) / "best.safetensors").unlink()
    assert train(home, *QUICK, "--epochs", "2") == 0
    assert (run_of(home) / "best.safetensors").exists()


def test_another_file_of_weights_under_the_same_name_trains_again(home: Path) -> None:
    start = home / "start.safetensors"
    assert train(home, *QUICK) == 0
    start.write_bytes((run_of(home) / "best.safetensors").read_bytes())
    assert train(home, *QUICK, "--weights", str(start)) == 0
    first, before = (run_of(home) / "best.safetensors").read_bytes(), stamp(home)
    assert train(home, *QUICK, "--weights", str(start)) == 0 and stamp(home) == before
    start.write_bytes(first)
    assert train(home, *QUICK, "--weights", str(start)) == 0
    assert (run_of(home) / "best.safetensors").read_bytes() != first


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_pictures_come_from_the_cache_of_the_data_they_were_made_of(home: Path) -> None:
    assert train(home, *QUICK) == 0
    cache = home / "processed" / "cache"
    first = {path.name for path in cache.iterdir()}
    assert sorted(name.split("-")[0] for name in first) == ["train", "val"]
    next((home / "raw" / "smile").iterdir()).unlink()
    assert train(home, *QUICK) == 0
    second = {path.name for path in cache.iterdir()}
    assert len(second) == 2 and not first & second


def test_test_pictures_are_judged_too_and_never_trained_on(tmp_path: Path) -> None:
    put_divided(tmp_path / "raw", {"none": 12, "smile": 12}, {"none": 4, "smile": 4})
    put(tmp_path / "raw" / "test", {"none": 3, "smile": 5}, seed=3)
    assert train(tmp_path, *QUICK) == 0
    written = json.loads((run_of(tmp_path) / "evaluation.json").read_text())
    assert {name: one["count"] for name, one in written.items()} == {"val": 8, "test": 8}
    assert [sum(row) for row in written["test"]["confusion"]] == [3, 5]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"smile": 20}, "data set holds 1 label(s) to train on, two are needed"),
        ({"smile": 1, "none": 1}, "no picture is left for validation"),
    ],
)
def test_too_little_to_train_on_gives_code_1_and_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], counts: dict[str, int], message: str
) -> None:
    put(tmp_path / "raw", counts)
    assert train(tmp_path, *QUICK) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "processed" / "runs").exists()


@pytest.mark.parametrize(("side", "lines"), [(48, 1), (200, 0)])
def test_small_pictures_without_faces_are_pointed_to_region_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], side: int, lines: int
) -> None:
    rng = np.random.default_rng(0)
    for label in ("none", "smile"):
        (tmp_path / "raw" / label).mkdir(parents=True)
        for number in range(6):
            picture = cv2.resize(
                rng.integers(0, 256, (6, 6, 3), np.uint8),
                (side, side),
                interpolation=cv2.INTER_CUBIC,
            )
            assert cv2.imwrite(str(tmp_path / "raw" / label / f"{number}.png"), picture)
    lips = [word if word != "whole" else "lips" for word in flags(tmp_path)]
    assert main(["train", *lips]) == 1
    printed = capsys.readouterr()
    assert "holds 0 label(s) to train on" in printed.err
    written = [line for line in printed.out.splitlines() if "--region whole" in line]
    assert written == lines * [
        "train: in 12 of 12 pictures no face or a mouth too small was found, and most are 48 "
        "pixels or smaller: if they are crops already, give --region whole"
    ]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/tmp", "../x"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be a plain folder name"):
        Train(name=name)


@pytest.mark.parametrize(
    "flag",
    [
        ("--epochs", "-1"),
        ("--batch", "0"),
        ("--lr", "0"),
        ("--lr", "nan"),
        ("--crop-min", "0"),
        ("--crop-min", "1.5"),
        ("--input-size", "0"),
        ("--resize", "0"),
        ("--label-smoothing", "2"),
        ("--optimizer", "sgd", "--momentum", "0"),  # Nesterov's form needs one
        ("--patience", "-1"),
        ("--colour", "-1"),
    ],
)
def test_senseless_settings_give_code_2(
    trained: Path, capsys: pytest.CaptureFixture[str], flag: tuple[str, ...]
) -> None:
    assert main(["train", *flags(trained), "--name", "senseless", *flag]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", RECIPES)
def test_a_preset_sets_every_field_of_its_recipe(name: str) -> None:
    assert Train.preset(name).settings == RECIPES[name]
    assert Train.preset(name).recipe == name


def test_groups_given_to_train_stay_on_one_side_of_the_split(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = ("--group-by", r"/(p\d+)-")
    assert train(home, *QUICK, *people) == 0
    assert "groups of" in capsys.readouterr().out
    table = (home / "processed" / "dataset" / "metadata.csv").read_text().splitlines()
    sides: dict[str, set[str]] = {}
    for row in csv.DictReader(table):
        sides.setdefault(row["source"].split("/")[1][:3], set()).add(row["split"])
    assert len(sides) == 4 and all(len(side) == 1 for side in sides.values())
    before = stamp(home)
    assert train(home, *QUICK, "--split.group-by", people[1]) == 0  # the same, said in full
    assert stamp(home) == before
    assert "train: up to date" in capsys.readouterr().out
