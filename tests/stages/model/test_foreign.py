"""Files that are none of our models are told apart by what they are, whatever their names."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import nn

from pipeline.trouble import Trouble
from stages.model import networks
from stages.model.foreign import kind_of


def write_state(path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(2, 3)}, path)


def write_old_state(path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": 1}))


def write_program(path: Path) -> None:
    traced = torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(traced, path.with_name("a.pt2"))
    path.with_name("a.pt2").rename(path)


def write_tensors(path: Path) -> None:
    save_file({"b": torch.zeros(2), "a": torch.zeros(2)}, path)


def write_onnx(path: Path) -> None:
    pictures = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 224, "side"])
    answers = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 224, "side"])
    node = helper.make_node("Relu", ["input"], ["output"])
    model = helper.make_model(helper.make_graph([node], "graph", [pictures], [answers]))
    path.write_bytes(model.SerializeToString())


def write_keras(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"")


def write_hdf5(path: Path) -> None:
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))


def write_lite(path: Path) -> None:
    path.write_bytes(bytes([28, 0, 0, 0]) + b"TFL3" + bytes(100))


def write_nothing(path: Path) -> None:
    path.touch()


def write_text(path: Path) -> None:
    path.write_text("hello there, this is no model")


KINDS: dict[Callable[[Path], None], str] = {
    write_state: "weights or a network as torch.save writes them",
    write_old_state: "a pickle, as older PyTorch saves",
    write_pickle: "a pickle, as older PyTorch saves",
    write_program: "a torch.export program",
    write_tensors: "a safetensors file of 2 tensors (a, b, …)",
    write_onnx: "an ONNX model with input input 1×3×224×side",
    write_keras: "a Keras model",
    write_hdf5: "an HDF5 file, as Keras saves",
    write_lite: "a TensorFlow Lite model",
    write_nothing: "an empty file",
    write_text: "no model that is known here",
}


@pytest.mark.parametrize("write", KINDS)
def test_a_file_is_told_by_its_content(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "file"
    write(path)
    assert kind_of(path) == KINDS[write]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".onnx", ".h5", ""])
@pytest.mark.parametrize("write", KINDS)
def test_prediction_refuses_it_in_a_sentence_that_says_what_it_is(
    tmp_path: Path, write: Callable[[Path], None], suffix: str
) -> None:
    path = tmp_path / f"other{suffix}"
    write(path)
    with pytest.raises(Trouble) as trouble:
        networks.load(path)
    message = str(trouble.value)
    assert message.startswith(f"{path} is ") and "\n" not in message
    assert KINDS[write] in message and len(message) < 400
