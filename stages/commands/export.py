"""The command that writes a model, with all that prediction needs, as ONNX and for torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline import files
from pipeline.trouble import Trouble, Usage
from stages.commands.model_choice import resolve_model
from stages.face.crop import square
from stages.model import networks
from stages.partition.given import side_of

if TYPE_CHECKING:
    from pipeline.context import Context
    from stages.model.description import Description

LIMIT = 1e-4  # largest difference of a share from torch's
LARGEST_DROP = 0.005  # of val's accuracy, for weights of 8 bits
LARGEST_SET = 2000  # crops to compare on, at most


@dataclass(frozen=True)
class Export:
    """Write a model as ONNX, with labels and preprocessing inside, and as a torch.export program.

    Both take N×S×S×3 uint8 RGB `crops` of any size S and give N×L `probabilities`.
    """

    model: Path | None = None
    """A run's folder or .safetensors file; unset takes the newest in processed/runs/."""
    output: Path | None = None
    """The .onnx file; unset is model.onnx in the run's folder. The .pt2 file lies beside it."""
    int8: bool = False
    """Also write <output>.int8.onnx, with weights of 8 bits, if it is as accurate on val."""

    def run(self, context: Context) -> int:
        """Write files that agree with torch; raises Trouble where one does not."""
        source = resolve_model(self.model, context.workbench)
        path = self._path(source)

        from stages.model import portable
        from stages.model.weights import load_model

        network, description = load_model(source)
        crops, true = _crops(context, description)
        ours = networks.TorchNetwork(network, description)(crops)
        traced = portable.program(network, description)
        data = portable.onnx_bytes(traced, description)
        judged_on = f"{len(true):,} crops of val" if len(true) else "noise (there is no val)"
        _compare(networks.OnnxNetwork(data, path)(crops), ours, f"{path.name} on {judged_on}")
        program = portable.pt2_bytes(traced, description)
        files.write(path, data)
        files.write(path.with_suffix(".pt2"), program)
        print(f"export: {context.workbench.place_of(path)} and {path.with_suffix('.pt2').name}")
        if self.int8:
            _write_int8(path, crops, ours, true)
        context.workbench.put(path.parent)
        return 0

    def _path(self, source: Path) -> Path:
        if source.suffix.lower() == ".onnx":
            raise Usage(f"--model {source} is exported already: give a run's folder")
        folder = source if source.is_dir() else source.parent
        path = self.output or folder / "model.onnx"
        if path.suffix != ".onnx":
            raise Usage(f"--output {path} should end in .onnx")
        return path


def _crops(
    context: Context, description: Description
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """N×S×S×3 crops of val and their N classes; noise and no classes where there is no val."""
    from pipeline.pictures import decode

    side, labels = description.side, description.labels
    samples = [
        sample
        for sample in context.ledger.samples("split", context.processed)
        if side_of(sample.facts) == "val" and sample.label in labels
    ]
    some = samples[:: -(-len(samples) // LARGEST_SET) or 1]
    if not some:
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (64, side, side, 3), np.uint8), np.empty(0, np.int64)
    crops = np.stack([square(decode(sample.file.read_bytes()), side) for sample in some])
    return crops, np.array([labels.index(sample.label) for sample in some])


def _compare(shares: NDArray[np.float32], ours: NDArray[np.float32], name: str) -> None:
    """Print the largest difference; raise Trouble where it is over the limit."""
    difference = float(np.abs(shares - ours).max())
    text = f"{name}: shares differ from torch's by {difference:.1e} at most"
    if not difference <= LIMIT:
        raise Trouble(f"{text}, {LIMIT:.0e} is allowed, so nothing is written: report this")
    print(f"export: {text}")


def _write_int8(
    path: Path, crops: NDArray[np.uint8], ours: NDArray[np.float32], true: NDArray[np.int64]
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
    before, after = (float((answers.argmax(1) == true).mean()) for answers in (ours, shares))
    text = f"accuracy {before:.1%} before, {after:.1%} with weights of 8 bits"
    if before - after > LARGEST_DROP:
        raise Trouble(f"{text}: that is too much, so {smaller.name} is not written")
    files.write(smaller, data)
    print(f"export: {smaller}, {len(data) / path.stat().st_size:.0%} of the size; {text}")
