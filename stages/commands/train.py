"""The command that trains on `dataset/`, unless that very model is there already."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pipeline import files
from pipeline.executors.ray import Ray
from pipeline.settings import near_misses
from pipeline.trouble import Trouble, Usage
from stages.commands.common import region_of
from stages.commands.region_hint import region_hint
from stages.commands.train_together import SharedTraining, ledger_bytes, several, train_on_cluster
from stages.model import card
from stages.model.description import Description, installed_versions
from stages.partition.given import side_of
from stages.partition.shards import INDEX
from stages.training.recipes import RECIPES, Recipe
from stages.training.runs import REPLACED, UNFINISHED, Plan, Run
from stages.training.summary import closing_line, data_text

if TYPE_CHECKING:
    from pipeline.context import Context
    from stages.training.data import Crops
    from stages.training.distributed import World
    from stages.training.sets import Counts
    from stages.training.stream import Stream, TrainingSet


@dataclass(frozen=True)
class Train:
    """Train a classifier on the data set; the best weights end in processed/runs/<name>/."""

    preset_field: ClassVar[str] = "recipe"
    stage_flags: ClassVar[Mapping[str, str]] = {"group_by": "split", "groups": "split"}

    recipe: str = "default"
    """The preset that all other settings start from; see stages/training/recipes.py."""
    name: str | None = None
    """The run's name; unset takes the recipe's."""
    seed: int = 0
    """Of the first weights, the order of pictures and their augmentation."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto takes a GPU (cuda) where there is one. mps is Apple's GPU."""
    resume: bool = False
    """Go on with an interrupted run, or lengthen a finished one (with more --epochs)."""
    folds: int = 0
    """Judge the recipe by this many folds of all pictures (but test's) in place of a run."""
    seeds: int = 1
    """Repeat a run or the folds with this many seeds: mean and deviation."""
    stream: int = 0
    """Read the training pictures from shards (--split.format webdataset), so many at a time, such
    as 8192, and shuffle those; 0 decodes all of them once into a file on disk."""
    group_by: str = ""
    """--split.group-by in short: pictures whose paths have the same first group (person) stay on
    one side of the split, and in one fold."""
    groups: Path | None = None
    """--split.groups in short: a CSV file with the columns key,group."""
    settings: Recipe = RECIPES["default"]

    @classmethod
    def preset(cls, recipe: str | None) -> Self:
        """The settings of a recipe. Raises Usage for an unknown one."""
        recipe = recipe or "default"
        if recipe not in RECIPES:
            raise Usage(f"--recipe {recipe} is unknown; {near_misses(recipe, RECIPES)}")
        return cls(recipe=recipe, settings=RECIPES[recipe])

    def __post_init__(self) -> None:
        name = self.name
        if name is not None and (Path(name).name != name or name in ("", "..")):
            raise ValueError(f"name {name!r} must be a plain folder name")
        if name and name.endswith((UNFINISHED, REPLACED)):
            raise ValueError(f"name {name!r} must not end in {UNFINISHED} or {REPLACED}")
        if self.folds == 1 or self.folds < 0 or self.seeds < 1:
            raise ValueError("--folds must be 2 or more, --seeds 1 or more")
        if self.stream < 0 or (self.stream and (self.folds or self.seeds > 1)):
            raise ValueError("--stream must be 0 or more, and goes with neither folds nor seeds")

    def run(self, context: Context) -> int:
        """Train, or say that the model of these settings and this data is there."""
        if self.folds or self.seeds > 1:
            return self._repeat(context)
        if several():
            from stages.training.distributed import joined

            with joined(self.device) as world:  # the first comes when it has done the stages
                ledger = world.from_first(lambda: ledger_bytes(context.workbench.ledger))
                if world.writes:
                    return self._train(context, world)
                SharedTraining(self._train, context.settings, context.steps, ledger)(world)
                return 0
        run = self._run(context)
        context.workbench.fetch(run.folder)
        if (done := run.finished()) and done["plan"] == self.plan(context):
            print(f"train: up to date. {self._hand_on(context, run, done)}")
            return 0
        if isinstance(context.executor, Ray):
            return train_on_cluster(self._train, context, context.executor, self.device)
        from stages.training.distributed import ONE_PROCESS

        return self._train(context, ONE_PROCESS)

    def plan(self, context: Context) -> Plan:
        """What the weights depend on: settings, data, and the file they start from, if any.

        Raises Usage where shards are wanted and there are none.
        """
        own = {"recipe": self.recipe, "name": self.name or "", "seed": self.seed}
        own |= {"device": self.device, "folds": self.folds, "seeds": self.seeds}
        settings = asdict(self.settings) | own
        start = Path(self.settings.weights)
        found = {"weights": files.digest(start.read_bytes())} if start.is_file() else {}
        if self.stream:  # the order of pictures depends on the shards
            settings["stream"] = self.stream
            index = context.processed / "dataset" / INDEX
            if not index.is_file():
                raise Usage("--stream needs shards: add --split.format webdataset (or both)")
            found["shards"] = files.digest(index.read_bytes())
        return {"settings": settings, "data": context.ledger.fingerprint("split"), **found}

    def _run(self, context: Context) -> Run:
        return Run(context.workbench.folder / "runs" / (self.name or self.recipe))

    def _labels(self, context: Context) -> tuple[list[str], Counts]:
        """The labels to learn, and how many pictures they have."""
        from stages.training.sets import labels_to_learn

        region = region_of(context.settings.common)
        hint = region_hint(context.ledger, context.processed) if region != "whole" else ""
        if hint:
            print(f"train: {hint}")
        kept = context.ledger.labels("split")
        labels = labels_to_learn(kept)
        return labels, {
            split: {label: by_label.get(label, 0) for label in labels}
            for split, by_label in kept.items()
        }

    def _crops(self, context: Context, labels: Sequence[str]) -> dict[str, Crops]:
        """The crops by split; with --stream not those of train."""
        from stages.training.sets import load_sets

        processed, ledger = context.processed, context.ledger
        samples = (
            sample
            for sample in ledger.samples("split", processed)
            if not self.stream or side_of(sample.facts) != "train"
        )
        fingerprint = ledger.fingerprint("split")
        cache = context.workbench.folder / "cache"
        return load_sets(samples, labels, cache, fingerprint, self.settings.side)

    def _stream(self, context: Context, counts: Mapping[str, int], side: int) -> Stream:
        from stages.training.sets import stream_of

        dataset = context.processed / "dataset"
        return stream_of(dataset, list(counts.values()), self.settings.side or side, self.stream)

    def _repeat(self, context: Context) -> int:
        from stages.training.devices import device_name, device_of
        from stages.training.repeat import Repeats, repeat, report

        device = device_of(self.device)
        where = device_name(device, self.settings.bfloat16)
        print(f"train: {self.settings.model}, recipe {self.recipe}, on {where}")
        labels, _ = self._labels(context)
        sets = self._crops(context, labels)
        seeds = range(self.seed, self.seed + self.seeds)
        repeats = Repeats(self.folds, seeds)
        judgement = repeat(sets, labels, self.settings, device, repeats)
        name = f"{self.name or self.recipe}-{'folds' if self.folds else 'seeds'}"
        folder = context.workbench.folder / "runs" / name
        report(judgement, labels, self.plan(context)["settings"], folder)
        context.workbench.put(folder)
        return 0

    def _train(self, context: Context, world: World) -> int:
        from stages.training.devices import device_name, device_of
        from stages.training.loop import fit
        from stages.training.record import RunFolder
        from stages.training.result import judge, saver
        from stages.training.schedule import end_of

        run, plan, device = self._run(context), self.plan(context), device_of(self.device)
        tell = print if world.writes else _silent
        where = device_name(device, self.settings.bfloat16)
        processes = f", {world.size} processes" if world.size > 1 else ""
        tell(f"train: {self.settings.model}, recipe {self.recipe}, on {where}{processes}")
        with world.first_alone():  # it makes cache and folder, the others find them
            labels, counts = self._labels(context)
            if "val" not in counts:
                raise Trouble(
                    "no picture is left for validation: only labels with two pictures (or groups) "
                    "or more give it one, if --split.val is over 0"
                )
            sets = self._crops(context, labels)
            train: TrainingSet = (
                self._stream(context, counts["train"], sets["val"].side)
                if self.stream
                else sets["train"]
            )
            if world.writes:
                run.open(plan, self.resume)
        recipe = self.settings.sized(len(train))
        tell(data_text(counts, recipe.epochs))
        described = self._description(context, labels, recipe, train.side)
        with RunFolder(
            run.building, self.resume, saver(run.building, described), world.writes
        ) as record:
            state = fit(recipe, self.seed, train, sets["val"], labels, device, record, world)
            if record.stop_requested and state.epoch < end_of(state, recipe):
                tell(f"train: stopped after epoch {state.epoch}; --resume goes on from there")
                return 1
            done = {"plan": plan, "best": state.best, "counts": counts, "device": where}
            if world.writes:
                record.finish(state)
                record.show_confusion(judge(run.building, sets, labels, device), labels)
        if world.writes:
            files.write(run.building / "labels.json", json.dumps(labels, ensure_ascii=False))
            card.write(run.building, counts)
            files.write(run.building / "run.json", json.dumps(done, indent=2))
            run.take_name()
            print(f"train: {self._hand_on(context, run, done)}")
        return 0

    def _hand_on(self, context: Context, run: Run, done: Mapping[str, Any]) -> str:
        """Put the finished run into the processed folder, where it is a store; the last line."""
        context.workbench.put(run.folder, last="run.json")
        return closing_line(done, context.workbench.place_of(run.folder), context.processed)

    def _description(
        self, context: Context, labels: list[str], recipe: Recipe, side: int
    ) -> Description:
        return Description(
            labels=labels,
            region=region_of(context.settings.common),
            stages={step.name: step.settings() for step in context.steps},
            recipe=recipe,
            side=side,
            seed=self.seed,
            data=context.ledger.fingerprint("split"),
            numbers={},
            versions=installed_versions(),
        )


def _silent(_: str) -> None:
    """What a process prints that is not the first."""
