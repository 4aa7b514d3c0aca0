"""Training by several processes, maybe on several machines: each has a context of its own."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline.context import Context
from pipeline.executors.ray import Ray
from pipeline.executors.serial import Serial
from pipeline.ledger import Ledger
from pipeline.runner import Runner
from pipeline.settings import Settings
from pipeline.step import Step
from pipeline.store.workbench import workbench_for
from pipeline.workbench import LEDGER

if TYPE_CHECKING:
    from stages.training.distributed import World

    Train = Callable[[Context, World], int]


def several() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def ledger_bytes(ledger: Path) -> bytes:
    """A ledger as it is now, as the bytes of a file."""
    with closing(sqlite3.connect(ledger)) as ours, closing(sqlite3.connect(":memory:")) as copy:
        ours.backup(copy)
        return copy.serialize()


@dataclass(frozen=True)
class SharedTraining:
    """Trains with a context like the driver's. It carries the ledger, because SQLite cannot open
    one file on two machines.
    """

    train: Train
    settings: Settings
    steps: Sequence[Step]
    ledger: bytes

    def __call__(self, world: World) -> None:
        common = self.settings.common
        workbench = workbench_for(common.processed, common.scratch)
        with TemporaryDirectory() as folder:
            path = Path(folder) / LEDGER
            path.write_bytes(self.ledger)
            with Ledger(path) as ledger:
                runner = Runner(common.raw, workbench, ledger, Serial())
                context = Context(self.settings, self.steps, ledger, runner, Serial(), workbench)
                self.train(context, world)


def train_on_cluster(train: Train, context: Context, executor: Ray, device: str) -> int:
    """Train in as many processes as the cluster has GPUs; where it has none (or `device` is cpu),
    in `--workers` processes with a CPU each. Returns the exit code.
    """
    from stages.training.on_ray import train_on_ray

    executor.connect()
    gpus = 0 if device == "cpu" else executor.count("GPU")
    work = SharedTraining(
        train, context.settings, context.steps, ledger_bytes(context.workbench.ledger)
    )
    processes = gpus or context.settings.common.workers
    train_on_ray(work, processes, gpus > 0, context.workbench.folder / "cache")
    return 0
