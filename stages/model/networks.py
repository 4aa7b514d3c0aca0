"""Trained models, whatever runs them: torch for our own weights, onnxruntime for .onnx files."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.trouble import Trouble
from stages.model.description import Description, from_json
from stages.model.foreign import kind_of

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from torch import nn

INPUT, OUTPUT, METADATA = "crops", "probabilities", "description"
BATCH = 128  # pictures that onnxruntime answers at once


class Network(Protocol):
    """A trained model, whatever runs it. Safe to call from several threads."""

    @property
    def description(self) -> Description: ...

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N×L shares (softmax) of N×S×S×3 uint8 RGB crops; S is `description.side`, N ≥ 1.

        Raises ValueError for an array of another shape or type.
        """
        ...


class TorchNetwork:
    """Our own weights, on the CPU. Calls from several threads wait for one another."""

    def __init__(self, network: nn.Module, description: Description) -> None:
        self.description = description
        self._network = network
        self._lock = threading.Lock()  # batches are prepared in memory that calls share

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        from stages.training.validation import logits_of

        _check(crops, self.description.side)
        pictures = torch.from_numpy(crops).permute(0, 3, 1, 2)
        with self._lock:
            logits = logits_of(
                self._network, pictures, self.description.recipe, torch.device("cpu")
            )
        shares: NDArray[np.float32] = (logits / self.description.temperature).softmax(1).numpy()
        return shares


class OnnxNetwork:
    """An exported model in onnxruntime, which takes calls from several threads at once."""

    def __init__(self, data: bytes, path: Path) -> None:
        """From a file's bytes; `path` is for messages.

        Raises Trouble where they are no model that `export` could have written.
        """
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        self.description = _description(data, path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what it has to say comes as an exception
        # Threads that wait for the next call by spinning keep the face search from its core.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        failures = [kind for kind in vars(state).values() if _is_failure(kind)]
        try:
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
            self._try_out()
        except (ValueError, RuntimeError, *failures) as error:
            first = (str(error) or type(error).__name__).splitlines()[0][:300]
            raise _trouble(path, first) from error

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        _check(crops, self.description.side)
        parts = [
            self._session.run([OUTPUT], {INPUT: crops[start : start + BATCH]})[0]
            for start in range(0, len(crops), BATCH)
        ]
        shares: NDArray[np.float32] = np.concatenate(parts)
        return shares

    def _try_out(self) -> None:
        """Raise ValueError where it takes or gives something else than crops and shares."""
        side, labels = self.description.side, len(self.description.labels)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        for values, name, kind, shape in (
            (inputs, INPUT, "tensor(uint8)", ["N", side, side, 3]),
            (outputs, OUTPUT, "tensor(float)", ["N", labels]),
        ):
            found = [(value.name, value.type) for value in values]
            if found != [(name, kind)] or not _fits(values[0].shape, shape):
                shapes = [value.shape for value in values]
                raise ValueError(f"{name} should be {kind} of {shape}, it has {found} {shapes}")
        answer = self(np.zeros((2, side, side, 3), np.uint8))
        if answer.shape != (2, labels) or not np.allclose(answer.sum(1), 1, atol=1e-3):
            raise ValueError("its answers are no shares of the labels")


def load(path: Path) -> Network:
    """A run's folder or a .safetensors file for torch; an .onnx file without it.

    Raises Trouble where a file is missing, damaged or not of this program.
    """
    if path.suffix.lower() == ".onnx":
        return OnnxNetwork(_bytes(path), path)

    from stages.model.weights import load_model  # imports torch

    return TorchNetwork(*load_model(path))


def _fits(found: Sequence[object], wanted: Sequence[object]) -> bool:
    """Whether a shape has the wanted lengths, or names in place of some; but only names for N."""
    return len(found) == len(wanted) and all(
        isinstance(length, str) or length == other
        for length, other in zip(found, wanted, strict=True)
    )


def _check(crops: NDArray[np.uint8], side: int) -> None:
    if crops.dtype != np.uint8 or crops.shape[1:] != (side, side, 3) or not len(crops):
        raise ValueError(
            f"crops must be uint8 of N×{side}×{side}×3, not {crops.dtype} of {crops.shape}"
        )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Trouble(
            f"{path}: no such model ({error.strerror}); `make export` makes one, or give --model"
        ) from error


def _description(data: bytes, path: Path) -> Description:
    """What the file says of itself, once it is known to need no other file and to end."""
    from google.protobuf.message import DecodeError
    from onnx import GraphProto, ModelProto, TensorProto

    try:
        model = ModelProto.FromString(data)
    except DecodeError as error:
        raise _trouble(path, f"it is {kind_of(path)}") from error
    graphs = 0
    for message in _parts(model):
        graphs += isinstance(message, GraphProto)
        if isinstance(message, TensorProto) and (message.external_data or message.data_location):
            raise _trouble(path, "it refers to other files")
    if not graphs:
        raise _trouble(path, f"it is {kind_of(path)}")
    if graphs > 1:
        raise _trouble(path, "it holds loops or branches")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if METADATA not in metadata:
        raise _trouble(path, f"it is {kind_of(path)} that does not say its labels")
    return from_json(metadata[METADATA], path)


def _parts(message: Message) -> Iterator[Message]:
    """A protobuf message and all messages within."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if isinstance(value, Sequence) else [value]:
                yield from _parts(part)


def _is_failure(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception)


def _trouble(path: Path, reason: str) -> Trouble:
    return Trouble(f"{path} is no model that `make export` wrote ({reason}): export it again")
