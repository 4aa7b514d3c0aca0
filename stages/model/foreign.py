"""What a file that is none of our models is, by its content. Nothing is unpickled; no torch."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

BEGINNINGS = (  # at which byte, which bytes, what they mean
    (0, b"\x80", "a pickle, as older PyTorch saves"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras saves"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"\x89PNG", "a picture"),
    (0, b"\xff\xd8\xff", "a picture"),
)
MEMBERS = (  # of a zip archive: the end of a name in it, what it means
    ("constants.pkl", "a TorchScript program"),
    ("archive_format", "a torch.export program"),
    ("model.weights.h5", "a Keras model"),
    ("data.pkl", "weights or a network as torch.save writes them"),
)
LARGEST_HEADER = 100_000_000  # bytes, as safetensors has it


def kind_of(path: Path) -> str:
    """What a file is, as words that follow "is": "an ONNX model with input x 1×3×224×224"."""
    with open(path, "rb") as file:
        head = file.read(16)
    if not head:
        return "an empty file"
    if zipfile.is_zipfile(path):
        return _archive(path)
    for start, sign, kind in BEGINNINGS:
        if head[start : start + len(sign)] == sign:
            return kind
    return _safetensors(path) or _onnx(path) or "no model that is known here"


def _archive(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    for ending, kind in MEMBERS:
        if any(name.endswith(ending) for name in names):
            return kind
    return "a zip archive"


def _safetensors(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(LARGEST_HEADER, path.stat().st_size - 8):
            return ""
        try:
            header = json.loads(file.read(length))
        except ValueError:
            return ""
    names = sorted(name for name in header if name != "__metadata__")
    return f"a safetensors file of {len(names):,} tensors ({', '.join([*names[:2], '…'])})"


def _onnx(path: Path) -> str:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    try:
        graph = ModelProto.FromString(path.read_bytes()).graph
    except DecodeError:
        return ""
    if not graph.node:
        return ""
    inputs = []
    for value in graph.input:
        shape = value.type.tensor_type.shape.dim
        sides = "×".join(str(side.dim_value or side.dim_param or "?") for side in shape)
        inputs.append(f"{value.name} {sides}")
    return f"an ONNX model with input {', '.join(inputs)}"
