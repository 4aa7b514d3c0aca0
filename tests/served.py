"""A model behind the real mouth chain, and a server around it in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from conftest import ROOT
from onnx import TensorProto, helper, numpy_helper

from stages.demo.portrait import portrait
from stages.faces import Faces
from stages.lips import Lips
from stages.model.description import Description, to_json
from stages.model.networks import INPUT, METADATA, OUTPUT
from stages.normalize import Normalize
from stages.training.recipes import Recipe

SIDE = 128  # pixels of a crop
LABELS = ["none", "<b>pouting</b>", "Lächeln 笑"]
"""Names that a page must show as they are."""


def small_model(folder: Path) -> Path:
    """An .onnx file as export writes it, which tells crops apart by their mean colour."""
    stages = {"normalize": asdict(Normalize()), "faces": asdict(Faces()), "lips": asdict(Lips())}
    description = Description(
        labels=LABELS,
        region="lips",
        stages=stages,
        recipe=Recipe(),
        side=SIDE,
        seed=0,
        data="0f" * 16,
        numbers={},
        versions={},
    )
    nodes = [
        helper.make_node("Cast", [INPUT], ["colours"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["colours"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [OUTPUT]),
    ]
    crops = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", SIDE, SIDE, 3])
    shares = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", 3])
    weights = numpy_helper.from_array(np.eye(3, dtype=np.float32) / 50, "weights")
    graph = helper.make_graph(nodes, "small", [crops], [shares], [weights])
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, ir_version=10, opset_imports=[opset])
    helper.set_model_props(model, {METADATA: to_json(description)})
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def portrait_file(folder: Path, suffix: str = ".jpg") -> Path:
    """The portrait, 512×512, in a format of OpenCV's."""
    path = folder / f"portrait{suffix}"
    assert cv2.imwrite(str(path), cv2.cvtColor(portrait()[0], cv2.COLOR_RGB2BGR))
    return path


@dataclass(frozen=True)
class Served:
    """A server that runs: its port, and its process to end it by."""

    port: int
    process: subprocess.Popen[str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(model: Path, *more: object, folder: Path = ROOT) -> Iterator[Served]:
    """`serve` of the package in `folder`, started and ended as a user does it."""
    command = [sys.executable, "-W", "error", "-m", "pipeline", "serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--model", str(model), *map(str, more)],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.communicate()[1])
        yield Served(int(line.split("127.0.0.1:")[1].split()[0]), process)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
