"""A model's weights on disk, as safetensors, with the description as JSON beside them."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

from pipeline import files
from pipeline.trouble import Trouble, Usage
from stages.model.description import Description, read_description, to_json
from stages.model.foreign import kind_of
from stages.training.models import build


def save_model(path: Path, network: nn.Module, description: Description) -> None:
    """Write `path`.safetensors and `path`.json, each whole or not at all."""
    weights = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    files.write(path.with_suffix(".safetensors"), to_bytes(weights))
    files.write(path.with_suffix(".json"), to_json(description))


def load_model(path: Path) -> tuple[nn.Module, Description]:
    """The network, ready for prediction on the CPU, and its description.

    `path` is the .safetensors file or the folder that holds best.safetensors. Raises Trouble
    where a file is missing, damaged, or does not fit the other.
    """
    weights = path / "best.safetensors" if path.is_dir() else path
    if not weights.is_file():
        raise Trouble(f"{weights}: no such model; `make train` makes one, or give --model")
    if weights.suffix != ".safetensors" or not weights.with_suffix(".json").exists():
        raise Trouble(
            f"{weights} is {kind_of(weights)}, not a model of this program (a .safetensors file "
            "with its .json beside it, or an exported .onnx file): give --model a run's folder"
        )
    description = read_description(weights.with_suffix(".json"))
    try:
        network = build(description.recipe, len(description.labels), start=False)
        network.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError, KeyError, OSError, Usage) as error:
        first = str(error).splitlines()[0]
        raise Trouble(
            f"{weights} is damaged, or not of this program ({first}): train again"
        ) from error
    return network.eval(), description
