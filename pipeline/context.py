"""What a command has at hand: the settings, the stages in order, and the way to run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline import files, label_counts
from pipeline.executors import Executor
from pipeline.ledger import Ledger
from pipeline.runner import Runner
from pipeline.settings import Settings
from pipeline.step import Step
from pipeline.store import Place
from pipeline.trouble import Usage
from pipeline.workbench import Workbench


@dataclass(frozen=True)
class Context:
    """One command's surroundings. `steps` are the stages that its settings ask for, in order."""

    settings: Settings
    steps: Sequence[Step]
    ledger: Ledger
    runner: Runner
    executor: Executor

    workbench: Workbench

    @property
    def processed(self) -> Place:
        return self.settings.common.processed

    def bring_up_to_date(self, steps: Sequence[Step]) -> int:
        """Run the steps in order; returns how many pictures ended in error."""
        raw = self.settings.common.raw
        if steps and not self.runner.planner.count(steps[0]):
            raise Usage(f"{raw} holds no files: put your pictures into {raw}/<label>/")
        errors = 0
        for place, step in enumerate(steps):
            errors += self.runner.run(step, steps[place + 1 :])
        if steps and steps[-1] == self.steps[-1]:
            self._tell_labels()
        for line in self.runner.planner.listing().remarks():
            print(files.shown(line))
        return errors

    def _tell_labels(self) -> None:
        """Print each label's counts, and which labels lack pictures."""
        counts = label_counts.count_labels(self.steps, self.runner.planner, self.ledger)
        split = self.steps[-1].name
        print(files.shown(label_counts.as_table(counts)))
        for line in label_counts.gaps(counts):
            print(files.shown(f"{split}: {line}"))


class Runnable(Protocol):
    """The settings of a command (training, prediction and the like), and what it does."""

    def run(self, context: Context) -> int:
        """Do the command's work; returns the exit code."""
        ...
