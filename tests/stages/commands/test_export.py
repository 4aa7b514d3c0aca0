"""Export: what torch says, ONNX and the torch.export program say too; nothing worse is written."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT
from onnx import numpy_helper
from small_sets import ALONE, put_divided, train
from torch.utils.data import default_collate

from pipeline.__main__ import main
from pipeline.pictures import decode
from stages.face.crop import square
from stages.model import networks, portable
from stages.model.description import Description, from_json, read_description
from stages.training.models import build
from stages.training.recipes import RECIPES, Recipe


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run of three labels, exported with weights of 8 bits too."""
    home = tmp_path_factory.mktemp("exported")
    labels = ("none", "pouting", "smile")
    put_divided(home / "raw", dict.fromkeys(labels, 24), dict.fromkeys(labels, 6))
    assert train(home, "--epochs", "6", "--batch", "8") == 0
    assert export(home, "--int8") == 0
    return home


def places(home: Path) -> list[str]:
    where = ["--raw", str(home / "raw"), "--processed", str(home / "processed")]
    return [*where, "--region", "whole", "--workers", "0"]


def export(home: Path, *more: object) -> int:
    return main(["export", *places(home), *map(str, more)])


def run_of(home: Path) -> Path:
    return home / "processed" / "runs" / "default"


def some(side: int, count: int = 5) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def test_three_files_answer_as_torch_does(home: Path) -> None:
    run = run_of(home)
    ours = networks.load(run)
    crops = some(ours.description.side)
    expected = ours(crops)
    assert np.abs(networks.load(run / "model.onnx")(crops) - expected).max() < 1e-5
    assert np.abs(networks.load(run / "model.int8.onnx")(crops) - expected).max() < 0.1
    size = (run / "model.onnx").stat().st_size
    assert (run / "model.int8.onnx").stat().st_size < 0.5 * size


BLOCKED = """
import sys
for name in ("torch", "torchvision", "cv2", "onnx", "matplotlib", "tyro", "stages", "pipeline"):
    sys.modules[name] = None
"""


def test_the_card_s_lines_run_with_onnxruntime_pillow_and_numpy_alone(
    home: Path, tmp_path: Path
) -> None:
    card = (run_of(home) / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(import json.*?)```", card, re.S)
    assert len([line for line in lines.splitlines() if line]) == 5
    crop = next((home / "processed" / "dataset" / "val" / "smile").iterdir())
    shutil.copy(crop, tmp_path / "crop.jpg")
    shutil.copy(run_of(home) / "model.onnx", tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", BLOCKED + lines],
        cwd=tmp_path, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shares = ast.literal_eval(done.stdout)
    ours = networks.load(run_of(home))
    expected = ours(square(decode(crop.read_bytes()), ours.description.side)[None])[0]
    assert list(shares) == ours.description.labels
    assert np.abs(np.array(list(shares.values())) - expected).max() < 1e-4


def test_the_program_runs_with_torch_alone(home: Path) -> None:
    side = read_description(run_of(home) / "best.json").side
    extra = {networks.METADATA: ""}
    program = torch.export.load(run_of(home) / "model.pt2", extra_files=extra).module()
    crops = some(side, 7)
    shares = program(default_collate(list(crops))).detach().numpy()
    assert np.abs(shares - networks.load(run_of(home))(crops)).max() < 1e-5
    assert from_json(extra[networks.METADATA], Path()).labels[0] == "none"


def test_the_differences_are_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(home, "--output", home / "other.onnx") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(
        "export: other.onnx on 18 crops of val: shares differ from torch's"
    )
    assert printed[1] == f"export: {home}/other.onnx and other.pt2"


def test_without_a_val_noise_is_compared_on(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "away"
    words = ("--model", run_of(home), "--output", tmp_path / "away.onnx")
    assert export(elsewhere, *words) == 0
    assert "on noise (there is no val)" in capsys.readouterr().out
    assert export(elsewhere, *words, "--int8") == 1
    assert "--int8 needs a val split" in capsys.readouterr().err
    assert not (tmp_path / "away.int8.onnx").exists()


def test_prediction_with_onnx_imports_no_torch(home: Path, tmp_path: Path) -> None:
    """The command itself, whose process is asked at its end."""
    picture = next((home / "raw" / "val" / "smile").iterdir())
    code = (
        "import sys\nfrom pipeline.__main__ import main\ncode = main(sys.argv[1:])\n"
        "sys.exit(code or len({'torch', 'torchvision'} & set(sys.modules)))"
    )
    words = ["predict", *places(home), "--input", str(picture), "--output", str(tmp_path)]
    model = ["--model", str(run_of(home) / "model.onnx")]
    command = [sys.executable, "-W", "error", "-c", code, *words, *model]
    done = subprocess.run(command, cwd=ROOT, env=ALONE, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert rows[1].split(",")[3] == "smile"


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (("--model", "x.onnx"), "--model x.onnx is exported already: give a run's folder"),
        (("--output", "x.pt"), "--output x.pt should end in .onnx"),
    ],
)
def test_wrong_usage(
    home: Path, words: tuple[str, ...], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(home, *words) == 2
    assert capsys.readouterr().err.splitlines()[-1] == printed


@pytest.mark.parametrize(
    ("recipe", "side"),
    [
        (Recipe(model="simpleconv3", flip_test=False), 60),
        (
            Recipe(model="mobilenet_v3_small", input_size=64, resize=70, normalization="imagenet"),
            80,
        ),
        (RECIPES["best"], 64),
        (replace(RECIPES["default"], input_size=60, resize=64), 50),
        (Recipe(model="alexnet", input_size=64, resize=72, head_hidden=8), 48),
    ],
    ids=lambda value: value.model if isinstance(value, Recipe) else "",
)
def test_networks_of_the_recipes_can_be_exported(recipe: Recipe, side: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build(recipe, 3, start=False).eval()
    description = Description(
        labels=["a", "b", "c"], region="whole", stages={}, recipe=recipe, side=side,
        seed=0, data="", numbers={}, versions={},
    )  # fmt: skip
    data = portable.onnx_bytes(portable.program(network, description), description)
    crops = some(side, 3)
    ours = networks.TorchNetwork(network, description)(crops)
    assert np.abs(networks.OnnxNetwork(data, Path())(crops) - ours).max() < 1e-5


def test_a_file_that_answers_otherwise_is_not_written(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The limit, on a graph whose last layer was spoilt."""
    from pipeline.trouble import Trouble
    from stages.commands.export import _compare

    path = run_of(home) / "model.onnx"
    model = onnx.load(path)
    last = [one for one in model.graph.initializer if (one.dims, one.data_type) == ([3], 1)][-1]
    last.CopyFrom(numpy_helper.from_array(np.array([5, 0, 0], np.float32), last.name))
    ours = networks.load(path)
    crops = some(ours.description.side)
    spoilt = networks.OnnxNetwork(model.SerializeToString(), path)(crops)
    with pytest.raises(Trouble, match="is allowed, so nothing is written"):
        _compare(spoilt, ours(crops), "spoilt")
