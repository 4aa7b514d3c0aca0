"""The command that takes a model elsewhere: ONNX with all that prediction needs, and torch's own
format.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline import files
from pipeline.trouble import Trouble, Usage
from stages.face.crop import square
from stages.model import model_file, networks

if TYPE_CHECKING:
    from pipeline.context import Context

LIMIT = 1e-4  # largest difference of a share from torch's
LARGEST_DROP = 0.005  # of val's accuracy, for weights of 8 bits
CROPS = 2000  # to compare on, at most
Crops = NDArray[np.uint8]


@dataclass(frozen=True)
class Export:
    """Write a model as ONNX, with labels and preprocessing inside, and as a torch.export program.

    Both take N×S×S×3 uint8 RGB `crops` and give N×L `probabilities`.
    """

    model: Path = Path()
    """A run's folder or .safetensors file; unset takes the newest in processed/runs/."""
    output: Path = Path()
    """The .onnx file; unset is model.onnx in the run's folder. The .pt2 file lies beside it."""
    int8: bool = False
    """Also write <output>.int8.onnx, with weights of 8 bits, if it is as accurate on val."""

    def run(self, context: Context) -> int:
        """Write files that agree with torch; raises Trouble where one does not."""
        source = networks.chosen(self.model, context.processed)
        path = self._path(source)
        network, description = model_file.load(source)
        crops, true = _crops(context, description)

        from stages.model import portable

        ours = networks.TorchNetwork(network, description)(crops)
        traced = portable.program(network, description)
        data = portable.onnx_bytes(traced, description)
        _compare(networks.OnnxNetwork(data, path)(crops), ours, f"{path.name} on {_spoken(true)}")
        program = portable.pt2_bytes(traced, description)
        files.write(path, data)
        files.write(path.with_suffix(".pt2"), program)
        print(f"export: {path} and {path.with_suffix('.pt2').name}")
        if self.int8:
            _write_int8(path, crops, ours, true)
        return 0

    def _path(self, source: Path) -> Path:
        if source.suffix.lower() == ".onnx":
            raise Usage(f"--model {source} is exported already: give a run's folder")
        folder = source if source.is_dir() else source.parent
        path = self.output if self.output != Path() else folder / "model.onnx"
        if path.suffix != ".onnx":
            raise Usage(f"--output {path} should end in .onnx")
        return path


def _crops(
    context: Context, description: model_file.Description
) -> tuple[Crops, NDArray[np.int64]]:
    """Crops of val and their true places among the labels; noise and none where there is no val."""
    from pipeline.pictures import decode

    side, labels = description.side, description.labels
    val = context.processed / "dataset" / "val"
    samples = [
        sample
        for sample in context.ledger.samples("split", context.processed)
        if sample.file.is_relative_to(val) and sample.label in labels
    ]
    some = samples[:: -(-len(samples) // CROPS) or 1]
    if not some:
        random = np.random.default_rng(0)
        return random.integers(0, 256, (64, side, side, 3), np.uint8), np.empty(0, np.int64)
    crops = np.stack([square(decode(sample.file.read_bytes()), side) for sample in some])
    return crops, np.array([labels.index(sample.label) for sample in some])


def _spoken(true: NDArray[np.int64]) -> str:
    return f"{len(true):,} crops of val" if len(true) else "noise (there are no crops of val)"


def _compare(shares: NDArray[np.float32], ours: NDArray[np.float32], what: str) -> None:
    """Print the largest difference; Trouble over the limit."""
    difference = float(np.abs(shares - ours).max())
    said = f"{what}: shares differ from torch's by {difference:.1e} at most"
    if not difference <= LIMIT:
        raise Trouble(f"{said}, {LIMIT:.0e} is allowed, so nothing is written: report this")
    print(f"export: {said}")


def _write_int8(
    path: Path, crops: Crops, ours: NDArray[np.float32], true: NDArray[np.int64]
) -> None:
    """The file with weights of 8 bits; Trouble where it answers worse, or nobody can tell."""
    if not len(true):
        raise Trouble(
            "--int8 needs a val split with the model's labels to judge by: see --processed"
        )
    from stages.model.portable import int8_bytes

    smaller = path.with_suffix(".int8.onnx")
    data = int8_bytes(path)
    shares = networks.OnnxNetwork(data, smaller)(crops)
    before, after = (float((one.argmax(1) == true).mean()) for one in (ours, shares))
    said = f"accuracy {before:.1%} before, {after:.1%} with weights of 8 bits"
    if before - after > LARGEST_DROP:
        raise Trouble(f"{said}: that is too much, so {smaller.name} is not written")
    files.write(smaller, data)
    print(f"export: {smaller}, {len(data) / path.stat().st_size:.0%} of the size; {said}")
