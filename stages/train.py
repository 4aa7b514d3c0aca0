"""The command that trains on `dataset/`, unless that very model is there already."""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pipeline import files
from pipeline.context import Context
from pipeline.settings import near_misses
from pipeline.trouble import Trouble, Usage
from stages.model_file import Description, save
from stages.training.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Train(Recipe):
    """Train a classifier on the data set; the best weights end in processed/runs/<name>/."""

    after_stages: ClassVar[bool] = True
    writes: ClassVar[bool] = True
    recipe: str = "default"
    """The preset all other settings start from: default, or classic (the published one)."""
    name: str = ""
    """The run's name; empty takes the recipe's."""
    seed: int = 0
    """Of the first weights, the order of pictures and their augmentation."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto takes a GPU where there is one."""

    @classmethod
    def preset(cls, recipe: str | None) -> Self:
        """The settings of a recipe. Raises Usage for an unknown one."""
        recipe = recipe or "default"
        if recipe not in RECIPES:
            raise Usage(f"--recipe {recipe} is unknown; {near_misses(recipe, RECIPES)}")
        return cls(recipe=recipe, **asdict(RECIPES[recipe]))

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or self.lr <= 0 or not 0 < self.crop_min <= 1:
            raise ValueError("epochs and batch must be 1 or more, lr over 0, crop_min over 0 to 1")
        if Path(self.name).name != self.name:
            raise ValueError(f"--name {self.name!r} must be a plain folder name")

    def run(self, context: Context) -> int:
        """Train, or say that the model of these settings and this data is there."""
        folder = context.processed / "runs" / (self.name or self.recipe)
        plan = {"settings": asdict(self), "data": context.ledger.fingerprint("split")}
        finished = folder / "run.json"
        if (
            finished.exists()
            and (done := json.loads(finished.read_text()))
            and done["plan"] == plan
        ):
            print(f"train: up to date. {_summary(done['best'], folder, context)}")
            return 0
        return self._train(context, folder, plan)

    def _train(self, context: Context, folder: Path, plan: dict[str, Any]) -> int:
        from stages.training.data import labels_of, load
        from stages.training.loop import device_of, fit

        device = device_of(self.device)
        print(f"train: {self.model}, recipe {self.recipe}, on {_spoken(device)}")
        dataset = context.processed / "dataset"
        labels = labels_of(dataset)
        train, val = load(dataset / "train", labels), load(dataset / "val", labels)
        if not len(val):
            raise Trouble(
                f"{dataset / 'val'} is empty: a label gives one picture in ten to validation, so "
                "add pictures or raise --split.val"
            )
        print(
            f"train: {len(train):,} pictures, {len(val):,} for validation, "
            f"labels: {', '.join(labels)}"
        )
        if folder.exists():
            print(
                f"train: {folder} was made with other settings or data, or not finished: made anew"
            )
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        files.write(folder / "labels.json", json.dumps(labels, ensure_ascii=False))

        def keep(name: str, network: nn.Module, numbers: dict[str, Any]) -> None:
            save(folder / name, network, self._describe(context, labels, plan["data"], numbers))

        best = fit(self._recipe(), self.seed, train, val, len(labels), device, folder, keep)
        files.write(folder / "run.json", json.dumps({"plan": plan, "best": best}, indent=2))
        print(f"train: {_summary(best, folder, context)}")
        return 0

    def _recipe(self) -> Recipe:
        return Recipe(**{one.name: getattr(self, one.name) for one in fields(Recipe)})

    def _describe(
        self, context: Context, labels: list[str], data: str, numbers: dict[str, Any]
    ) -> Description:
        packages = ("torch", "torchvision", "opencv-python", "dlib", "numpy", "pillow")
        return Description(
            labels=labels,
            region=context.settings.common.region,
            stages={step.name: step.settings() for step in context.steps},
            recipe=self._recipe(),
            seed=self.seed,
            data=data,
            numbers=numbers,
            versions={"python": platform.python_version()}
            | {name: version(name) for name in packages},
        )


def _summary(best: dict[str, Any], folder: Path, context: Context) -> str:
    return (
        f"Validation accuracy {best['data/valacc']:.1%} (epoch {best['epoch']}), "
        f"model in {folder}; "
        f"next: make predict PROCESSED={context.processed} INPUT=<picture or folder>"
    )


def _spoken(device: Any) -> str:
    import torch

    if device.type == "cuda":
        return f"GPU ({torch.cuda.get_device_name(device)})"
    return f"CPU ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
