"""Trained models by their one interface: the same answers from torch and onnxruntime, and one
sentence for a file that is none of ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from small_sets import ALONE

from pipeline.trouble import Trouble
from stages.face.crop import square
from stages.model import networks, portable
from stages.model.description import Description
from stages.model.networks import INPUT, METADATA, OUTPUT
from stages.model.weights import load_model, save_model
from stages.training.data import stack
from stages.training.models import build
from stages.training.recipes import Recipe
from stages.training.validation import logits_of

SIDE = 40
DESCRIPTION = Description(
    labels=["kein Lächeln", "smile", "wide"],
    region="whole",
    stages={},
    recipe=Recipe(resize=52),
    side=SIDE,
    seed=0,
    data="0f" * 16,
    numbers={},
    versions={},
    temperature=0.6,
)


def some(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with best weights (drawn, not trained) and model.onnx."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    network = build(DESCRIPTION.recipe, 3).eval()
    for parameter in network.parameters():
        parameter.data *= 2  # answers far from a draw
    save_model(folder / "best", network, DESCRIPTION)
    program = portable.program(network, DESCRIPTION)
    (folder / "model.onnx").write_bytes(portable.onnx_bytes(program, DESCRIPTION))
    return folder


@pytest.mark.parametrize("name", ["", "best.safetensors", "model.onnx"])
@pytest.mark.parametrize("count", [1, 3, 2 * networks.BATCH + 1])
def test_shares_are_those_of_validation(run: Path, name: str, count: int) -> None:
    network, description = load_model(run)
    crops = some(count)
    logits = logits_of(network, stack(list(crops), SIDE), description.recipe, torch.device("cpu"))
    loaded = networks.load(run / name)
    shares = loaded(crops)
    assert loaded.description == DESCRIPTION
    assert shares.dtype == np.float32 and shares.shape == (count, 3)
    assert np.abs(shares - (logits / 0.6).softmax(1).numpy()).max() < 1e-5
    assert np.abs(shares - logits.softmax(1).numpy()).max() > 0.01
    assert shares.max() > 0.5


@pytest.mark.parametrize("name", ["best.safetensors", "model.onnx"])
def test_threads_get_the_answers_to_their_own_crops(run: Path, name: str) -> None:
    network = networks.load(run / name)
    tasks = [some(1 + seed % 5, seed) for seed in range(60)]
    alone = [network(crops) for crops in tasks]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(network, tasks))
    assert max(np.abs(a - b).max() for a, b in zip(alone, together, strict=True)) < 1e-6


@pytest.mark.parametrize("name", ["best.safetensors", "model.onnx"])
@pytest.mark.parametrize(
    "crops",
    [
        np.zeros((0, SIDE, SIDE, 3), np.uint8),
        np.zeros((SIDE, SIDE, 3), np.uint8),
        np.zeros((1, SIDE, SIDE + 1, 3), np.uint8),
        np.zeros((1, 3, SIDE, SIDE), np.uint8),
        np.zeros((1, SIDE, SIDE, 3), np.float32),
    ],
)
def test_other_arrays_are_refused(run: Path, name: str, crops: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="crops must be uint8 of N×40×40×3, not "):
        networks.load(run / name)(crops)


@pytest.mark.parametrize("side", [20, SIDE, 41, 55, 2 * SIDE, 90, 128, 200])
def test_an_onnx_file_resizes_crops_of_any_size_as_prediction_does(run: Path, side: int) -> None:
    session = onnxruntime.InferenceSession(run / "model.onnx")
    crops = np.random.default_rng(side).integers(0, 256, (4, side, side, 3), np.uint8)
    (shares,) = session.run([OUTPUT], {INPUT: crops})
    expected = networks.load(run)(np.stack([square(crop, SIDE) for crop in crops]))
    assert np.abs(shares - expected).max() < 1e-4


def test_a_file_exported_for_one_size_is_still_taken(run: Path, tmp_path: Path) -> None:
    model = onnx.load(run / "model.onnx")
    for dim in model.graph.input[0].type.tensor_type.shape.dim[1:3]:
        dim.dim_value = SIDE
    onnx.save(model, tmp_path / "before.onnx")
    before, now = networks.load(tmp_path / "before.onnx"), networks.load(run / "model.onnx")
    assert np.array_equal(before(some(3)), now(some(3)))


def test_an_onnx_file_is_used_without_torch(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.onnx"  # nothing lies beside it
    alone.write_bytes((run / "model.onnx").read_bytes())
    code = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from stages.model import networks\n"
        f"network = networks.load(Path({str(alone)!r}))\n"
        f"print(network(np.zeros((1, {SIDE}, {SIDE}, 3), np.uint8)).shape)\n"
        "print(network.description.labels)\n"
        "print(sorted({'torch', 'torchvision'} & set(sys.modules)))"
    )
    command = [sys.executable, "-W", "error", "-X", "utf8", "-c", code]
    done = subprocess.run(command, env=ALONE, text=True, capture_output=True, check=False)
    assert done.stdout == "(1, 3)\n['kein Lächeln', 'smile', 'wide']\n[]\n", done.stderr


def trouble_of(data: bytes, folder: Path) -> str:
    path = folder / "other.onnx"
    path.write_bytes(data)
    with pytest.raises(Trouble) as trouble:
        networks.load(path)
    printed = str(trouble.value)
    assert printed.startswith(f"{path} ") and "\n" not in printed and len(printed) < 800
    return printed.removeprefix(f"{path} ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match=r"x\.onnx: no such model \(No such file or directory\)"):
        networks.load(tmp_path / "x.onnx")


@pytest.mark.parametrize("data", [b"\x89PNG", b"PK\x03\x04" * 99, os.urandom(999), b"\xff" * 99])
def test_what_is_no_onnx_says_so(data: bytes, tmp_path: Path) -> None:
    assert trouble_of(data, tmp_path).startswith("is no model that `make export` wrote (it ")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.99999])
def test_half_a_file_says_so(run: Path, tmp_path: Path, share: float) -> None:
    data = (run / "model.onnx").read_bytes()
    printed = trouble_of(data[: int(len(data) * share)], tmp_path)
    assert printed.startswith("is no model that `make export` wrote (")


def no_metadata(model: ModelProto) -> None:
    del model.metadata_props[:]


def no_json(model: ModelProto) -> None:
    helper.set_model_props(model, {METADATA: "{"})


def fewer_labels(model: ModelProto) -> None:
    model.metadata_props[0].value = model.metadata_props[0].value.replace('"wide"', '"x", "y"')


def another_side(model: ModelProto) -> None:
    """A file as it was exported before any size went in, and a description of another side."""
    for dim in model.graph.input[0].type.tensor_type.shape.dim[1:3]:
        dim.dim_value = SIDE
    model.metadata_props[0].value = model.metadata_props[0].value.replace(f": {SIDE},", ": 32,")


def outside(model: ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def outside_in_a_constant(model: ModelProto) -> None:
    tensor = TensorProto(dims=[1], data_type=TensorProto.FLOAT, name="far")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["far"], value=tensor))


def a_branch(model: ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node.insert(
        0, helper.make_node("If", ["yes"], ["far"], then_branch=inner, else_branch=inner)
    )


def fixed_batch(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def another_input(model: ModelProto) -> None:
    for node in model.graph.node:
        node.input[:] = ["pictures" if name == INPUT else name for name in node.input]
    model.graph.input[0].name = "pictures"


def no_softmax(model: ModelProto) -> None:
    (node,) = [node for node in model.graph.node if OUTPUT in node.output]
    node.op_type = "Relu"
    del node.attribute[:]


def unknown_layer(model: ModelProto) -> None:
    model.graph.node[0].op_type = "Teleport"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (no_metadata, "(it is an ONNX model with input crops "),
        (no_json, "describes no model: Invalid JSON"),
        (fewer_labels, "(probabilities should be tensor(float) of ['N', 4]"),
        (another_side, "(crops should be tensor(uint8) of ['N', 32, 32, 3]"),
        (outside, "(it refers to other files)"),
        (outside_in_a_constant, "(it refers to other files)"),
        (a_branch, "(it holds loops or branches)"),
        (fixed_batch, "should be tensor(uint8) of ['N', 40, 40, 3]"),
        (another_input, "(crops should be tensor(uint8)"),
        (no_softmax, "(its answers are no shares of the labels)"),
        (unknown_layer, "Teleport"),
    ],
)
def test_a_foreign_model_gives_one_sentence(
    run: Path, tmp_path: Path, change: Callable[[ModelProto], None], reason: str
) -> None:
    model = onnx.load(run / "model.onnx")
    change(model)
    assert reason in trouble_of(model.SerializeToString(), tmp_path)
