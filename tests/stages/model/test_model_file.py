"""Model files: what was saved comes back, and what is damaged or hostile gives one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.trouble import Trouble
from stages.model.description import Description
from stages.model.networks import TorchNetwork
from stages.model.weights import load_model, save_model
from stages.training.models import build
from stages.training.recipes import Recipe
from stages.training.validation import logits_of

DESCRIPTION = Description(
    labels=["kein Lächeln", "smile"],
    region="lips",
    stages={"lips": {"scale": 1.5}},
    recipe=Recipe(epochs=3),
    side=128,
    seed=5,
    data="0f" * 16,
    numbers={"epoch": 2, "data/valacc": 0.75},
    versions={"torch": "2"},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder with a model of two labels."""
    torch.manual_seed(0)
    network = build(DESCRIPTION.recipe, 2)
    save_model(tmp_path / "best", network, DESCRIPTION)
    return tmp_path


def test_what_is_saved_comes_back(folder: Path) -> None:
    torch.manual_seed(0)
    saved = build(DESCRIPTION.recipe, 2).state_dict()
    for path in (folder, folder / "best.safetensors"):
        network, description = load_model(path)
        assert description == DESCRIPTION and not network.training
        assert network.state_dict().keys() == saved.keys()
        assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())


def test_saving_leaves_two_files_and_the_same_bytes_each_time(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.keys() == {"best.safetensors", "best.json"}
    save_model(folder / "best", *load_model(folder))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def trouble_of(path: Path) -> str:
    with pytest.raises(Trouble) as trouble:
        load_model(path)
    printed = str(trouble.value)
    assert "\n" not in printed and len(printed) < 2000
    return printed


def test_a_model_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    assert trouble_of(tmp_path) == (
        f"{tmp_path}/best.safetensors: no such model; `make train` makes one, or give --model"
    )


def test_weights_without_a_description_are_told_for_what_they_are(folder: Path) -> None:
    (folder / "best.json").unlink()
    assert trouble_of(folder) == (
        f"{folder}/best.safetensors is a safetensors file of 27 tensors (0.bias, 0.weight, …), not "
        "a model of this program (a .safetensors file with its .json beside it, or an exported "
        ".onnx file): give --model a run's folder"
    )


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def cut_in_header(data: bytes) -> bytes:
    return data[:60]


def boast(data: bytes) -> bytes:
    return (2**62).to_bytes(8, "little") + data[8:]


def nothing(data: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [cut, cut_in_header, boast, nothing])
def test_damaged_weights_say_so(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    path = folder / "best.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    printed = trouble_of(folder)
    assert printed.startswith(f"{path} is damaged, or not of this program (")
    assert printed.endswith("): train again")


def test_weights_of_another_network_do_not_fit(folder: Path) -> None:
    save_file({"0.weight": torch.zeros(2, 2)}, folder / "best.safetensors")
    assert trouble_of(folder).endswith("): train again")


@pytest.mark.parametrize("text", ["", "[]", "null", "3", '"x"', "{", "{}", "[" * 100_000])
def test_a_description_of_another_shape_is_none(folder: Path, text: str) -> None:
    (folder / "best.json").write_text(text)
    assert trouble_of(folder).startswith(f"{folder}/best.json describes no model: ")


def test_a_description_that_is_no_text_is_none(folder: Path) -> None:
    (folder / "best.json").write_bytes(b"\xff\xfe\x00")
    assert trouble_of(folder).startswith(f"{folder}/best.json describes no model: ")


@pytest.mark.parametrize("key", ["labels", "region", "stages", "recipe", "side", "seed", "data"])
def test_a_description_without_a_key_is_none(folder: Path, key: str) -> None:
    known = asdict(DESCRIPTION)
    del known[key]
    (folder / "best.json").write_text(json.dumps(known))
    printed = trouble_of(folder)
    assert printed.startswith(f"{folder}/best.json describes no model: ") and key in printed


def test_a_description_of_another_format_is_of_another_version(folder: Path) -> None:
    (folder / "best.json").write_text(json.dumps(asdict(DESCRIPTION) | {"format": 99}))
    assert trouble_of(folder) == (
        f"{folder}/best.json is of another version of this program: train again"
    )


def test_a_model_of_before_temperatures_answers_as_it_did(folder: Path) -> None:
    known = asdict(DESCRIPTION)
    del known["temperature"]
    (folder / "best.json").write_text(json.dumps(known))
    crops = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    network, description = load_model(folder)
    assert description.temperature == 1
    pictures = torch.from_numpy(crops).permute(0, 3, 1, 2)
    logits = logits_of(network, pictures, description.recipe, torch.device("cpu"))
    assert np.array_equal(TorchNetwork(network, description)(crops), logits.softmax(1).numpy())


@pytest.mark.parametrize("labels", [["a"], ["a", "b", "c"], []])
def test_labels_that_do_not_fit_the_weights_are_found_out(folder: Path, labels: list[str]) -> None:
    (folder / "best.json").write_text(json.dumps(asdict(DESCRIPTION) | {"labels": labels}))
    trouble_of(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("labels", "ab"),  # as many letters as there are labels
        ("labels", 2),
        ("labels", [1, 2]),
        ("labels", {"a": 0, "b": 1}),
        ("labels", ["a", "a"]),
        ("side", "128"),
        ("side", -1),
        ("side", 10**9),
        ("region", 3),
        ("stages", []),
        ("stages", {"lips": 3}),
        ("temperature", 0),
        ("temperature", -1.0),
        ("temperature", 1e-300),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", "1"),
    ],
)
def test_a_description_with_a_value_of_the_wrong_kind_is_none(
    folder: Path, key: str, value: object
) -> None:
    (folder / "best.json").write_text(json.dumps(asdict(DESCRIPTION) | {key: value}))
    trouble_of(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "../../x"),
        ("model", 3),
        ("model", ["simpleconv3"]),
        ("model", "__init__"),
        ("unheard_of", 1),
        ("input_size", "48"),
        ("input_size", 10**9),
        ("input_size", 0),
        ("resize", 0),
        ("resize", -48),
        ("normalization", "../../x"),
        ("flip_test", "yes"),
    ],
)
def test_a_hostile_recipe_gives_one_sentence(folder: Path, key: str, value: object) -> None:
    known: dict[str, Any] = asdict(DESCRIPTION)
    known["recipe"][key] = value
    (folder / "best.json").write_text(json.dumps(known))
    trouble_of(folder)


@pytest.mark.parametrize("hidden", [10**15, -5, "16", 1.5])
def test_a_hostile_head_gives_one_sentence(folder: Path, hidden: object) -> None:
    known: dict[str, Any] = asdict(DESCRIPTION)
    known["recipe"] |= {"model": "shufflenet_v2_x0_5", "head_hidden": hidden}
    (folder / "best.json").write_text(json.dumps(known))
    trouble_of(folder)


def test_weights_named_in_a_description_are_not_opened(folder: Path) -> None:
    known: dict[str, Any] = asdict(DESCRIPTION)
    known["recipe"]["weights"] = "/nowhere/at/all.pth"
    (folder / "best.json").write_text(json.dumps(known))
    assert load_model(folder)[1].recipe.weights == "/nowhere/at/all.pth"
