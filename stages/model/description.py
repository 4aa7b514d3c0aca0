"""What one must know to use a model's weights: the JSON beside them. Imports no torch."""

from __future__ import annotations

import json
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from pipeline.trouble import Trouble, Usage
from stages.face.region import Region
from stages.training.recipes import Recipe

FORMAT = 1
LARGEST_SIDE = 4096  # pixels
HOTTEST = 100  # temperature
PACKAGES = ("torch", "torchvision", "opencv-python", "dlib", "dlib-bin", "numpy", "pillow")


@dataclass(frozen=True)
class Description:
    """What one must know to use a model's weights. Raises ValueError for what makes no sense."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"strict": True, "extra": "forbid"}

    labels: list[str]
    """In the order of the network's outputs."""
    region: Region
    stages: dict[str, dict[str, Any]]
    """Settings of the picture stages that cut the crops, by the stage's name."""
    recipe: Recipe
    side: int
    """Of the crops, in pixels."""
    seed: int
    data: str
    """Fingerprint of the data set."""
    numbers: dict[str, Any]
    """Loss, accuracy and so on in the epoch that the weights are of."""
    versions: dict[str, str]
    """Of Python and packages."""
    format: int = FORMAT
    temperature: float = 1.0
    """What the logits are divided by before they become shares; see stages/training/calibration."""

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2:
            raise ValueError("labels must be two different names or more")
        if not 1 / HOTTEST <= self.temperature <= HOTTEST:
            raise ValueError(f"temperature must be {1 / HOTTEST:g} to {HOTTEST}")
        for name, side in (("side", self.side), ("recipe.input_size", self.recipe.input_size)):
            if not 1 <= side <= LARGEST_SIDE:
                raise ValueError(f"{name} must be 1 to {LARGEST_SIDE:,}")


def installed_versions() -> dict[str, str]:
    """Versions of Python and of what shapes a model; dlib comes as one of two distributions."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def to_json(description: Description) -> str:
    """The one way a description is written; `from_json` reads it."""
    return json.dumps(asdict(description), indent=2, ensure_ascii=False)


def read_description(path: Path) -> Description:
    """The description in a JSON file. Raises Trouble where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Trouble(f"{path} describes no model: {error.strerror}") from error
    except ValueError as error:
        raise Trouble(f"{path} describes no model: it is no text") from error
    return from_json(text, path)


def from_json(text: str, path: Path) -> Description:
    """A description from anywhere: every value is checked. `path` is for messages.

    Raises Trouble, which names the field, where it describes no model of this program.
    """
    from pydantic import TypeAdapter, ValidationError  # slow to import, seldom needed

    try:
        description = TypeAdapter(Description).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["loc"] and first["loc"][0] == "format":
            raise _other_version(path) from error
        field = ".".join(map(str, first["loc"]))
        reason = f"{field}: {first['msg']}" if field else first["msg"]
        raise Trouble(f"{path} describes no model: {reason}"[:500]) from error
    except Usage as error:
        raise Trouble(f"{path} describes no model: recipe: {error}") from error
    if description.format != FORMAT:
        raise _other_version(path)
    return description


def _other_version(path: Path) -> Trouble:
    return Trouble(f"{path} is of another version of this program: train again")
