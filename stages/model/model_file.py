"""A trained model on disk: weights as safetensors, everything else as JSON beside them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from pipeline import files
from pipeline.settings import REGIONS, fitted
from pipeline.trouble import Trouble, Usage
from stages.training.recipes import Recipe

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
LARGEST_SIDE = 4096  # pixels
HINTS = get_type_hints(Recipe)


@dataclass(frozen=True)
class Description:
    """What one must know to use the weights.

    `stages` are the settings of the picture stages that cut the crops, `side` the crops' side in
    pixels, `data` the fingerprint of the data set, `numbers` the epoch's loss and accuracy.
    """

    labels: list[str]
    region: str
    stages: dict[str, dict[str, Any]]
    recipe: Recipe
    side: int
    seed: int
    data: str
    numbers: dict[str, Any]
    versions: dict[str, str]
    format: int = FORMAT


def to_json(description: Description) -> str:
    """The one way a description is written; `from_json` reads it."""
    return json.dumps(asdict(description), indent=2, ensure_ascii=False)


def save(path: Path, network: nn.Module, description: Description) -> None:
    """Write `path`.safetensors and `path`.json, each whole or not at all."""
    from safetensors.torch import save as to_bytes

    weights = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    files.write(path.with_suffix(".safetensors"), to_bytes(weights))
    files.write(path.with_suffix(".json"), to_json(description))


def load(path: Path) -> tuple[nn.Module, Description]:
    """The network, ready for prediction on the CPU, and its description.

    `path` is the .safetensors file or the folder that holds best.safetensors. Raises Trouble
    where a file is missing, damaged, or does not fit the other.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from stages.training.models import build

    weights = path / "best.safetensors" if path.is_dir() else path
    if not weights.is_file():
        raise Trouble(f"{weights}: no such model; `make train` makes one, or give --model")
    description = read(weights.with_suffix(".json"))
    try:
        network = build(description.recipe, len(description.labels), start=False)
        network.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError, KeyError, OSError, Usage) as error:
        first = str(error).splitlines()[0]
        raise Trouble(
            f"{weights} is damaged, or not of this program ({first}): train again"
        ) from error
    return network.eval(), description


def read(path: Path) -> Description:
    """The description in a JSON file. Raises Trouble where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Trouble(f"{path} describes no model ({type(error).__name__}: {error})") from error
    return from_json(text, path)


def from_json(text: str, path: Path) -> Description:
    """A description that may be anyone's: every value is looked at. `path` is for messages.

    Raises Trouble where it describes no model of this program.
    """
    try:
        known = json.loads(text)
        recipe = {
            name: fitted(f"{path}: recipe.{name}", value, getattr(Recipe, name), HINTS[name])
            for name, value in known["recipe"].items()
        }
        description = Description(**{**known, "recipe": Recipe(**recipe)})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Trouble(f"{path} describes no model ({type(error).__name__}: {error})") from error
    if description.format != FORMAT:
        raise Trouble(f"{path} is of another version of this program: train again")
    if not _makes_sense(description):
        raise Trouble(f"{path} describes no model: labels, region, stages or side make no sense")
    return description


def _makes_sense(description: Description) -> bool:
    labels, stages = description.labels, description.stages
    return (
        isinstance(labels, list)
        and all(isinstance(label, str) for label in labels)
        and len(set(labels)) == len(labels) >= 2
        and description.region in REGIONS
        and isinstance(stages, dict)
        and all(isinstance(settings, dict) for settings in stages.values())
        and type(description.side) is int
        and 1 <= description.side <= LARGEST_SIDE
        and description.recipe.input_size <= LARGEST_SIDE
        and isinstance(description.data, str)
        and isinstance(description.numbers, dict)
        and isinstance(description.versions, dict)
    )
