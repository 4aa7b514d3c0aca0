"""A network with its preprocessing inside, as ONNX and as a torch.export program."""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from pipeline.trouble import Trouble
from stages.model.description import Description, to_json
from stages.model.networks import INPUT, METADATA, OUTPUT
from stages.model.resize import resized
from stages.training.augment import NORMALIZATION, resize_weights
from stages.training.augmentation import centre
from stages.training.recipes import Recipe

MOST_PIXELS = 65_535  # a side of a picture, as JPEG has it
RESIZES = 4  # matrix products before the network: rows and columns, to the crops' side and from it
ONNX_LIMIT = 2_000_000_000  # bytes that an ONNX file holds


class Portable(nn.Module):
    """N×L float32 shares of N×S×S×3 uint8 RGB crops of any size, as prediction answers them.

    Crops are resized to the training crops' side, prepared as by `apply(centre)`, and answered by
    the network, at the description's temperature. The centre is the same for each picture, so its
    resize is one matrix.
    """

    resize: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, description: Description) -> None:
        super().__init__()
        recipe, side = description.recipe, description.side
        self.network = network
        self.side = side
        self.flip_test = recipe.flip_test
        self.temperature = description.temperature
        middle = centre(side, recipe)
        weights = resize_weights(middle.top, middle.height, side, recipe.input_size, middle.whole)
        mean, deviation = torch.tensor(NORMALIZATION[recipe.normalization])[..., None, None]
        self.register_buffer("resize", weights[0].clone())
        self.register_buffer("mean", mean.clone())
        self.register_buffer("deviation", deviation.clone())

    def forward(self, crops: Tensor) -> Tensor:
        pictures = resized(crops.permute(0, 3, 1, 2), self.side) / 255
        seen = (self.resize @ pictures @ self.resize.mT - self.mean) / self.deviation
        if self.flip_test:
            both = self.network(torch.cat([seen, seen.flip(3)]))
            logits = both.unflatten(0, (2, -1)).mean(0)
        else:
            logits = self.network(seen)
        shares: Tensor = (logits / self.temperature).softmax(1)
        return shares


def program(network: nn.Module, description: Description) -> ExportedProgram:
    """The model for any number of crops of any size. Raises Trouble where torch cannot trace it."""
    recipe, side = description.recipe, description.side
    if sum(value.nbytes for value in network.state_dict().values()) > ONNX_LIMIT:
        raise Trouble(f"{recipe.model} is larger than the 2 GB that an ONNX file holds")
    example = torch.zeros(2, side + 1, side + 1, 3, dtype=torch.uint8)
    any_side = Dim("side", min=2, max=MOST_PIXELS)
    shapes = ({0: Dim.DYNAMIC, 1: any_side, 2: any_side},)
    whole = Portable(network, description).eval()
    try:
        with torch.no_grad():
            return torch.export.export(whole, (example,), dynamic_shapes=shapes)
    except RuntimeError as error:
        raise _trouble(recipe, error) from error


def onnx_bytes(traced: ExportedProgram, description: Description) -> bytes:
    """An ONNX file: input `crops`, output `probabilities`, the description in its metadata.

    Raises Trouble where torch cannot write it as ONNX.
    """
    import onnx

    try:
        exported = torch.onnx.export(
            traced, (), input_names=[INPUT], output_names=[OUTPUT], verbose=False
        )
    except RuntimeError as error:
        raise _trouble(description.recipe, error) from error
    assert exported is not None
    model = exported.model_proto
    onnx.helper.set_model_props(model, {METADATA: to_json(description)})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def pt2_bytes(traced: ExportedProgram, description: Description) -> bytes:
    """A .pt2 file; the description lies in it as an extra file."""
    whole = io.BytesIO()
    torch.export.save(traced, whole, extra_files={METADATA: to_json(description)})
    return whole.getvalue()


def int8_bytes(path: Path) -> bytes:
    """An ONNX file of ours with the weights of all layers (not of the resizes) in 8 bits."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = onnx.load(path)
    del model.graph.value_info[:]  # torch's notes on shapes, which the quantizer's own contradict
    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, smaller = Path(folder, "plain.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, plain)
        quant_pre_process(plain, plain, skip_symbolic_shape=True)
        ready = onnx.load(plain)
        products = [node.name for node in ready.graph.node if node.op_type == "MatMul"]
        quantize_dynamic(
            ready,
            smaller,
            per_channel=True,
            weight_type=QuantType.QUInt8,  # of convolutions, onnxruntime knows no other
            nodes_to_exclude=products[:RESIZES],
        )
        return smaller.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer from warning of every tensor that it rightly leaves alone."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _trouble(recipe: Recipe, error: RuntimeError) -> Trouble:
    first = str(error).splitlines()[0]
    return Trouble(f"{recipe.model} cannot be exported ({first}): take another --model to train")
