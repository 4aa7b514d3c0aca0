"""Ray beside processes and serial work: same data set? How fast? What limits the driver?

Three parts, each of which can be run alone (--parts): `compare` takes photographs through every
executor, on two Ray nodes too; `limit` sends tasks that do nothing; `memory` sends many tiny
pictures and draws the driver's memory.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from programs import ROOT, proportional, run

from pipeline.executors.ray import ENVIRONMENT, Ray
from pipeline.pictures import encode

PARTS = ("compare", "limit", "memory")
TINY = (48, 64, 3)  # height and width of the tiny pictures
MARKS = 200  # measurements along a run of tasks that do nothing


class Watched(NamedTuple):
    """A program's seconds, its driver's CPU seconds, and its memory (MB) over time (seconds)."""

    seconds: float
    cpu_seconds: float
    memory: list[tuple[float, float]]


def compare(folders: list[Path], work: Path) -> None:
    """The same photographs from raw folder to data set, by every executor."""
    raw = work / "raw"
    for folder in folders:
        shutil.copytree(folder, raw / folder.name)
    count = sum(1 for path in raw.rglob("*") if path.is_file())
    print(f"{count:,} photographs, from raw folder to data set")
    with two_nodes() as address:
        ways = {
            "serial": ("--executor", "serial"),
            "processes, 1 worker": ("--workers", 1),
            "processes, 2 workers": ("--workers", 2),
            "ray, 1 worker": ("--executor", "ray", "--workers", 1),
            "ray, 2 workers": ("--executor", "ray", "--workers", 2),
            "ray, two nodes": ("--executor", "ray", "--address", address),
        }
        for name, flags in ways.items():
            processed = work / name
            took = run("-m", "pipeline", "split", "--raw", raw, "--processed", processed, *flags)
            speed = count / took.seconds
            print(f"{name:<21} {took.seconds:6.1f} s {speed:6.1f} a second  {tree(processed)}")


@contextmanager
def two_nodes() -> Iterator[str]:
    """The address of a Ray cluster on this machine: a head without a CPU, two nodes with one."""
    os.environ.update(ENVIRONMENT)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def tree(processed: Path) -> str:
    """A digest of the paths and bytes of the data set."""
    whole = hashlib.sha256()
    for path in sorted((processed / "dataset").rglob("*")):
        if path.is_file():
            whole.update(str(path.relative_to(processed)).encode() + path.read_bytes())
    return whole.hexdigest()[:16]


def limit(items: int) -> list[tuple[float, float]]:
    """Tasks that do nothing, by two workers; returns the driver's memory (MB) over the items."""
    memory: list[tuple[float, float]] = []
    with Ray(None, 2) as executor:
        sum(1 for _ in executor.map(abs, range(1000)))  # the workers start
        began, busy = time.perf_counter(), time.process_time()
        for number, _ in enumerate(executor.map(abs, range(items))):
            if number % (items // MARKS) == 0:
                memory.append((float(number), proportional(os.getpid())))
        seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    print(f"{items:,} tasks that do nothing: {items / seconds:,.0f} a second;")
    print(f"the driver was busy for {cpu / items * 1e6:.1f} µs each: {items / cpu:,.0f} a second")
    return memory


def watch(*words: object) -> Watched:
    """Run this Python with some words, and look at the process itself, not at its workers."""
    began = time.perf_counter()
    command = [sys.executable, *map(str, words)]
    memory: list[tuple[float, float]] = []
    ticks = 0.0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if megabytes := proportional(process.pid):
                memory.append((time.perf_counter() - began, megabytes))
            with suppress(OSError):
                fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")")[-1].split()
                ticks = max(ticks, float(fields[11]) + float(fields[12]))
            time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    seconds = time.perf_counter() - began
    return Watched(seconds, ticks / os.sysconf("SC_CLK_TCK"), memory)


def tiny_pictures(count: int, work: Path) -> dict[str, Watched]:
    """Tiny pictures through normalize and screen, by processes and by Ray."""
    raw = work / "tiny"
    for number in range(count):
        path = raw / "none" / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(np.random.default_rng(number).integers(0, 256, TINY, np.uint8)))
    found = {}
    for executor in ("processes", "ray"):
        flags = ("--executor", executor, "--workers", 2, "--processed", work / f"tiny-{executor}")
        found[executor] = took = watch("-m", "pipeline", "screen", "--raw", raw, *flags)
        print(
            f"{count:,} tiny pictures, {executor}: {took.seconds:.0f} s; the driver was busy for "
            f"{took.cpu_seconds / count * 1e6:.0f} µs a picture "
            f"({count / took.cpu_seconds:,.0f} a second) and took at most "
            f"{max(megabytes for _, megabytes in took.memory):.0f} MB"
        )
    return found


def draw(
    nothing: list[tuple[float, float]], tiny: dict[str, Watched], count: int, path: Path
) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    items, megabytes = zip(*nothing, strict=True)
    left.plot([number / 1000 for number in items], megabytes)
    left.set(xlabel="thousand tasks that do nothing", title="Ray's executor alone")
    for name, watched in tiny.items():
        times, megabytes = zip(*watched.memory, strict=True)
        right.plot(times, megabytes, label=name)
    right.set(xlabel="seconds", title=f"{count:,} tiny pictures, their record included")
    right.legend()
    for axes in (left, right):
        axes.set(ylabel="driver's memory in MB", ylim=(0, 1.2 * axes.get_ylim()[1]))
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--raw", type=Path, nargs="+", help="folders of photographs, one a label")
    flags.add_argument("--items", type=int, default=1_000_000)
    flags.add_argument("--tiny", type=int, default=100_000)
    flags.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    flags.add_argument("--figure", type=Path, default=ROOT / "docs" / "cluster.png")
    chosen = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        if "compare" in chosen.parts:
            if not chosen.raw:
                flags.error("compare needs --raw")
            compare(chosen.raw, Path(folder))
        if "limit" in chosen.parts or "memory" in chosen.parts:
            nothing = limit(chosen.items)
        if "memory" in chosen.parts:
            tiny = tiny_pictures(chosen.tiny, Path(folder))
            draw(nothing, tiny, chosen.tiny, chosen.figure)


if __name__ == "__main__":
    main()
