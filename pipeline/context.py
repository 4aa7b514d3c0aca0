"""What a command has at hand: the settings, the stages in order, and the way to run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from pipeline.executors import Executor
from pipeline.ledger import Ledger
from pipeline.runner import Runner
from pipeline.settings import Settings
from pipeline.step import Step
from pipeline.trouble import Usage


@dataclass(frozen=True)
class Context:
    """One command's surroundings; `steps` are the picture stages of the region, in order."""

    settings: Settings
    steps: Sequence[Step]
    ledger: Ledger
    runner: Runner
    executor: Executor

    @property
    def processed(self) -> Path:
        return self.settings.common.processed

    def bring_up_to_date(self, steps: Sequence[Step]) -> int:
        """Run the steps in order; returns how many pictures ended in error."""
        raw = self.settings.common.raw
        if steps and not self.runner.planner.count(steps[0]):
            raise Usage(f"{raw} holds no files: put your pictures into {raw}/<label>/")
        errors = 0
        for place, step in enumerate(steps):
            errors += self.runner.run(step, steps[place + 1 :])
        return errors


class Command(Protocol):
    """A dataclass of settings that is no picture stage: training, prediction and the like."""

    after_stages: ClassVar[bool]
    """Whether all picture stages are brought up to date first."""
    writes: ClassVar[bool]
    """Whether it needs the processed folder to itself."""

    def run(self, context: Context) -> int:
        """Do it; returns the exit code."""
        ...
