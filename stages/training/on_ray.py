"""Training on a Ray cluster: Ray Train starts the processes that share each batch."""

from __future__ import annotations

import io
import os
import queue
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.trouble import Trouble
from stages.training.distributed import LONGEST_WAIT, World

ENVIRONMENT = {  # Ray Train reads it in the driver and in its workers
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # what a worker prints goes through Relay
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
LOOK_SECONDS = 0.5  # between two looks whether the work is done


@dataclass(frozen=True)
class Job:
    """The work of one process, in the driver's folder. What the first of them prints, the driver
    shows.
    """

    work: Callable[[World], object]
    folder: str
    screen: Any  # a queue of Ray's
    is_terminal: bool

    def __call__(self) -> None:
        import torch.distributed as dist

        os.chdir(self.folder)
        world = World(dist.get_rank(), dist.get_world_size())
        if not world.writes:
            self.work(world)
            return
        out, err = (Relay(self.screen, name, self.is_terminal) for name in ("stdout", "stderr"))
        with redirect_stdout(out), redirect_stderr(err):
            self.work(world)


class Relay(io.TextIOBase):
    """A stream whose text the driver shows."""

    def __init__(self, screen: Any, name: str, is_terminal: bool) -> None:
        self._screen = screen
        self._name = name
        self._is_terminal = is_terminal

    def write(self, text: str) -> int:
        self._screen.put((self._name, text))
        return len(text)

    def isatty(self) -> bool:
        return self._is_terminal


def train_on_ray(work: Callable[[World], object], processes: int, gpu: bool, shared: Path) -> None:
    """Do `work` in so many processes of the cluster, each with a CPU or a GPU of its own.

    Ray is connected. `shared` is a folder that all nodes see. Raises Trouble where a process fails.
    """
    os.environ.update(ENVIRONMENT)
    from ray.train import LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.util.queue import Queue

    shared.mkdir(parents=True, exist_ok=True)
    screen = Queue(actor_options={"num_cpus": 0})
    with TemporaryDirectory(prefix="ray-", dir=shared) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray Train uses what Ray Data deprecates
        job = Job(work, str(Path.cwd()), screen, sys.stderr.isatty())
        trainer = TorchTrainer(
            job.__call__,
            torch_config=TorchConfig(
                "nccl" if gpu else "gloo", timeout_s=int(LONGEST_WAIT.total_seconds())
            ),
            scaling_config=ScalingConfig(num_workers=processes, use_gpu=gpu),
            run_config=RunConfig(
                name="train",
                storage_path=str(Path(folder).absolute()),
                logging_config=LoggingConfig("ERROR"),
            ),
        )
        fit = _Fit(trainer.fit)
        fit.start()
        _show(screen, fit)
    screen.shutdown()
    if fit.error is not None:
        raise Trouble(f"training on Ray failed: {_cause(fit.error)}") from fit.error


class _Fit(threading.Thread):
    """Ray Train's work, beside the main thread: there it would take Ctrl-C for itself."""

    def __init__(self, fit: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._fit = fit
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._fit()
        except Exception as error:
            self.error = error


def _show(screen: Any, fit: _Fit) -> None:
    """Show what the first process prints as it comes, until all is done and shown."""
    while True:
        alive = fit.is_alive()  # asked first: afterwards nothing more comes
        try:
            name, text = screen.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            if not alive:
                return
            continue
        stream = getattr(sys, name)
        stream.write(text)
        stream.flush()


def _cause(error: Exception) -> str:
    """The last line of what the first process that failed says."""
    failures = getattr(error, "worker_failures", {})
    first = next(iter(failures.values()), error)
    last = str(first).strip().splitlines()[-1]
    return last.removeprefix(f"{Trouble.__module__}.{Trouble.__qualname__}: ")
