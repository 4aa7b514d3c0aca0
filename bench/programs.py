"""Programs of this project, run as a user runs them: their time, CPU time and memory."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Run:
    """What a program took and printed: its most memory with all that it started, and alone.

    CPU time counts what it started too.
    """

    seconds: float
    cpu_seconds: float
    megabytes: float
    alone: float
    output: str


def run(*command: object) -> Run:
    """Run this Python with some words. Ends this program where that one fails."""
    began, cpu_before = time.perf_counter(), _children_cpu()
    words = [sys.executable, *map(str, command)]
    with (
        subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
        Peak(process.pid) as peak,
    ):
        output, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed: {errors[-2000:]}")
    seconds, cpu_seconds = time.perf_counter() - began, _children_cpu() - cpu_before
    return Run(seconds, cpu_seconds, peak.megabytes, peak.alone, output)


def _children_cpu() -> float:
    """CPU seconds of all processes below this one that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Peak:
    """Looks at a process and its descendants while it is entered; Linux only, 0 elsewhere."""

    def __init__(self, pid: int, every: float = 0.2) -> None:
        self._pid, self._every = pid, every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.megabytes = 0.0  # of all together
        self.alone = 0.0  # of the process itself

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._every):
            self.alone = max(self.alone, proportional(self._pid))
            self.megabytes = max(self.megabytes, sum(map(proportional, family(self._pid))))


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def proportional(pid: int) -> float:
    """Megabytes of a process, its part of what it shares included; 0 where it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1000
    return 0.0
