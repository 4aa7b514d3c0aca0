"""The command that trains on `dataset/`, unless that very model is there already."""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pipeline import files
from pipeline.settings import near_misses
from pipeline.trouble import Trouble, Usage
from stages.model import card as model_card
from stages.model import model_file
from stages.training.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pipeline.context import Context
    from stages.training.data import Crops
    from stages.training.distributed import World

PACKAGES = ("torch", "torchvision", "opencv-python", "dlib-bin", "numpy", "pillow")


@dataclass(frozen=True)
class Train(Recipe):
    """Train a classifier on the data set; the best weights end in processed/runs/<name>/."""

    recipe: str = "default"
    """The preset that all other settings start from; see stages/training/recipes.py."""
    name: str = ""
    """The run's name; empty takes the recipe's."""
    seed: int = 0
    """Of the first weights, the order of pictures and their augmentation."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto takes a GPU where there is one."""
    resume: bool = False
    """Go on with an interrupted run of these settings rather than begin again."""
    folds: int = 0
    """Judge the recipe by this many folds of all pictures (but test's) in place of a run."""
    seeds: int = 1
    """Repeat a run or the folds with this many seeds: mean and deviation."""
    group_by: str = ""
    """Regular expression on paths; pictures with the same first group (person) share a fold."""

    @classmethod
    def preset(cls, recipe: str | None) -> Self:
        """The settings of a recipe. Raises Usage for an unknown one."""
        recipe = recipe or "default"
        if recipe not in RECIPES:
            raise Usage(f"--recipe {recipe} is unknown; {near_misses(recipe, RECIPES)}")
        return cls(recipe=recipe, **asdict(RECIPES[recipe]))

    def __post_init__(self) -> None:
        super().__post_init__()
        if Path(self.name).name != self.name or self.name == "..":
            raise ValueError(f"name {self.name!r} must be a plain folder name")
        if self.folds == 1 or self.folds < 0 or self.seeds < 1:
            raise ValueError("--folds must be 2 or more, --seeds 1 or more")

    def run(self, context: Context) -> int:
        """Train, or say that the model of these settings and this data is there."""
        if self.folds or self.seeds > 1:
            from stages.training.repeat import repeat

            return repeat(self, context)
        if several():
            from stages.training.distributed import joined

            with joined(self.device) as world:  # the first comes when it has done the stages
                return self._train(context, world)
        folder, plan = self._folder(context), self.plan(context)
        if (done := _finished(folder)) and done["plan"] == plan:
            print(f"train: up to date. {_summary(done['best'], folder, context)}")
            return 0
        from stages.training.distributed import World

        return self._train(context, World())

    def _folder(self, context: Context) -> Path:
        return context.processed / "runs" / (self.name or self.recipe)

    def plan(self, context: Context) -> dict[str, Any]:
        """What the weights depend on: settings, data, and the file they start from, if any."""
        settings = {name: value for name, value in asdict(self).items() if name != "resume"}
        start = Path(self.weights)
        found = {"weights": files.digest(start.read_bytes())} if start.is_file() else {}
        return {"settings": settings, "data": context.ledger.fingerprint("split"), **found}

    def as_recipe(self) -> Recipe:
        return Recipe(**{one.name: getattr(self, one.name) for one in fields(Recipe)})

    def _train(self, context: Context, world: World) -> int:
        from stages.training.devices import device_of, spoken
        from stages.training.loop import fit
        from stages.training.record import RunFolder
        from stages.training.sets import load_sets

        folder, plan = self._folder(context), self.plan(context)
        device = device_of(self.device)
        say = print if world.writes else _silent
        say(f"train: {self.model}, recipe {self.recipe}, on {spoken(device)}{_many(world.size)}")
        with world.first_alone():  # it makes cache and folder, the others find them
            sets, labels = load_sets(context, plan["data"], self.side)
            if "val" not in sets:
                raise Trouble(
                    "no picture is left for validation: a label gives it one in ten, so add "
                    "pictures or raise --split.val"
                )
            if world.writes:
                self._prepare(folder, plan)
        train, val = sets["train"], sets["val"]
        say(f"train: {len(train):,} pictures, {len(val):,} for validation")
        say(f"train: labels {', '.join(labels)}")
        if self.balance != "none":
            told = ", ".join(f"{name} {n:,}" for name, n in _counts(train, labels).items())
            say(f"train: labels balanced by {self.balance}: {told}")

        def keep(name: str, network: nn.Module, numbers: dict[str, Any]) -> None:
            described = self._describe(context, labels, train.pictures.shape[2], plan, numbers)
            model_file.save(folder / name, network, described)

        with RunFolder(folder, self.resume, keep, world.writes) as record:
            state = fit(self.as_recipe(), self.seed, train, val, labels, device, record, world)
            if record.asked and state.epoch < self.epochs:
                say(f"train: stopped after epoch {state.epoch}; --resume goes on from there")
                return 1
            if world.writes:
                record.finish(state)
                record.show_confusion(self._judge(folder, sets, labels, device), labels)
                files.write(folder / "labels.json", json.dumps(labels, ensure_ascii=False))
                counts = {name: _counts(crops, labels) for name, crops in sets.items()}
                done = json.dumps({"plan": plan, "best": state.best, "counts": counts}, indent=2)
                files.write(folder / "run.json", done)
                model_card.write(folder)
        say(f"train: {_summary(state.best, folder, context)}")
        return 0

    def _prepare(self, folder: Path, plan: dict[str, Any]) -> None:
        """An empty run folder, or the interrupted one of the same plan."""
        begun = folder / "plan.json"
        same = begun.exists() and json.loads(begun.read_text(encoding="utf-8")) == plan
        if folder.exists() and not (self.resume and same):
            if self.resume:
                print(f"train: {folder} is of other settings or data, so it begins again")
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files.write(begun, json.dumps(plan, indent=2))

    def _judge(
        self, folder: Path, sets: dict[str, Crops], labels: list[str], device: torch.device
    ) -> list[list[int]]:
        """Metrics of the best weights on val and test, printed and kept; val's confusion matrix."""
        from stages.training.metrics import measure, table
        from stages.training.validation import predict

        network, description = model_file.load(folder)
        network = network.to(device)
        judged = {
            name: measure(
                predict(network, crops.pictures, description.recipe, device), crops.classes, labels
            )
            for name, crops in sets.items()
            if name != "train"
        }
        files.write(
            folder / "evaluation.json",
            json.dumps({name: asdict(metrics) for name, metrics in judged.items()}, indent=2),
        )
        for name, metrics in judged.items():
            print(f"{name}: {table(metrics)}")
        return judged["val"].confusion

    def _describe(
        self,
        context: Context,
        labels: list[str],
        side: int,
        plan: dict[str, Any],
        numbers: dict[str, Any],
    ) -> model_file.Description:
        from importlib.metadata import version

        python = {"python": platform.python_version()}
        return model_file.Description(
            labels=labels,
            region=context.settings.common.region,
            stages={step.name: step.settings() for step in context.steps},
            recipe=self.as_recipe(),
            side=side,
            seed=self.seed,
            data=plan["data"],
            numbers=numbers,
            versions=python | {name: version(name) for name in PACKAGES},
        )


def _finished(folder: Path) -> dict[str, Any]:
    """What a finished run says of itself; empty for another."""
    path = folder / "run.json"
    whole = path.exists() and (folder / "best.safetensors").exists()
    return dict(json.loads(path.read_text(encoding="utf-8"))) if whole else {}


def _summary(best: dict[str, Any], folder: Path, context: Context) -> str:
    return (
        f"Validation accuracy {best['data/valacc']:.1%} (epoch {best['epoch']}), "
        f"model in {folder}; "
        f"next: make predict PROCESSED={context.processed} INPUT=<picture or folder>"
    )


def _counts(crops: Crops, labels: list[str]) -> dict[str, int]:
    """Pictures by label."""
    return {label: int((crops.classes == place).sum()) for place, label in enumerate(labels)}


def _many(processes: int) -> str:
    return f", {processes} processes" if processes > 1 else ""


def _silent(_: str) -> None:
    """What a process says that is not the first."""


def several() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1
