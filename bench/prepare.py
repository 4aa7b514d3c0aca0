"""Preparing photographs: the published scripts against the pipeline, on the same pictures.

`make bench` varies the photographs of `--photographs` (or the demo's portrait) to `--count`
pictures, or takes the folder `--raw` as it is. Both ways run in turn, each from nothing, stage
after stage on disk. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import shutil
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from photographs import vary
from programs import run

from pipeline.__main__ import main as pipeline
from pipeline.ledger import Ledger
from pipeline.runner import Runner
from pipeline.step import Step
from stages.tracking import overlap

ROOT = Path(__file__).parent.parent
PARTS = {  # functions that share nothing, by file and name
    "decode": [("pictures.py", "decode"), ("jpeg.py", "decode_whole"), ("reading.py", "load")],
    "Haar": [("faces.py", "find")],
    "landmarks": [("lips.py", "landmarks")],
    "encode": [("pictures.py", "encode")],
    "write": [("files.py", "write"), ("files.py", "link"), ("~", "<built-in method posix.sync>")],
    "ledger": [("ledger.py", name) for name in ("record", "forget", "replace", "done", "kept")],
}


def words(raw: Path, processed: Path, workers: int, exact: bool = False) -> list[str]:
    where = ["--raw", str(raw), "--processed", str(processed), "--workers", str(workers)]
    return ["lips", *where, *(["--faces.exact"] if exact else [])]


def by_stage(raw: Path, processed: Path) -> tuple[dict[str, float], dict[str, float]]:
    """CPU seconds by stage, and by part, of a run in this process."""
    stages: dict[str, float] = {}
    whole = Runner.run

    def timed(runner: Runner, step: Step, after: Step | None = None) -> None:
        began = time.process_time()
        whole(runner, step, after)
        stages[step.name] = time.process_time() - began

    profile = cProfile.Profile(time.process_time)
    with patch.object(Runner, "run", timed):
        profile.runcall(pipeline, words(raw, processed, 0))
    spent = {
        (Path(file).name, name): cumulative
        for (file, _, name), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    }
    parts = {
        part: sum(spent.get(function, 0.0) for function in functions)
        for part, functions in PARTS.items()
    }
    return stages, parts


def agreement(boxes: dict[str, dict[str, Any]], processed: Path, least: int = 24) -> None:
    """Of the crops of the published way, how many are here, and why others are not."""
    usable = {key: one for key, one in boxes.items() if one["mouth"] >= least}
    with Ledger(processed / "ledger.sqlite") as ledger:
        ours = {one.key: one.facts for one in ledger.samples("lips", processed)}
    overlaps = {
        key: overlap(one["crop"], ours[key]["crop"]) for key, one in usable.items() if key in ours
    }
    same = sum(one > 0.8 for one in overlaps.values())
    print(f"of the published way's {len(boxes):,} crops {len(usable):,} show a mouth of {least} px")
    print(f"  or more; {same:,} ({same / len(usable):.1%}) are here with IoU over 0.8")
    for key, one in sorted(overlaps.items()):
        if one <= 0.8:
            faces = overlap(usable[key]["face"], ours[key]["face"])
            why = "another face" if faces < 0.3 else f"face boxes {faces:.2f}"
            print(f"    {key}: IoU {one:.2f} ({why})")
    rows = sqlite3.connect(processed / "ledger.sqlite").execute(
        "SELECT key, stage || ': ' || reason FROM outcome WHERE verdict != 'kept' ORDER BY key"
    )
    for key, reason in rows:
        if key in usable:
            print(f"    {key}: lost ({reason})")
    print(f"  gained: {len(ours.keys() - boxes.keys()):,}")


def compare(raw: Path, work: Path, runs: int, workers: int, exact: bool, threads: int) -> None:
    """Both ways in turn, from nothing; prints everything."""
    seconds: dict[str, list[float]] = {"published": [], "pipeline": []}
    for _ in range(runs):
        shutil.rmtree(work / "published", ignore_errors=True)
        shutil.rmtree(work / "processed", ignore_errors=True)
        plain = run("bench/plain_scripts.py", raw, work / "published", threads)
        ours = run("-m", "pipeline", *words(raw, work / "processed", workers, exact))
        seconds["published"].append(plain.seconds)
        seconds["pipeline"].append(ours.seconds)
        print(", ".join(f"{name} {ones[-1]:.1f} s" for name, ones in seconds.items()), flush=True)
    again = run("-m", "pipeline", *words(raw, work / "processed", workers, exact)).seconds
    alone = run("-m", "pipeline", *words(raw, work / "alone", 1, exact)).seconds
    slow, fast = (statistics.median(ones) for ones in seconds.values())
    print(f"median of {runs}: published {slow:.1f} s, pipeline {fast:.1f} s: {slow / fast:.1f}×")
    scripts = json.loads(plain.output)
    told = ", ".join(f"{name} {took:.1f} s" for name, took in scripts.items())
    print(f"  published, the last run: {told}")
    print(f"  one worker: {alone:.1f} s, {workers} workers are {alone / fast:.2f}× as fast")
    print(f"  once more with nothing to do: {again:.2f} s ({again / fast:.1%})")
    print(f"  most memory: published {plain.megabytes:,.0f} MB, pipeline {ours.megabytes:,.0f} MB")
    agreement(json.loads((work / "published/lips/boxes.json").read_text()), work / "processed")


def report(raw: Path, work: Path, count: int) -> None:
    """Where the pipeline's CPU time goes, on one core."""
    stages, parts = by_stage(raw, work / "profiled")
    whole = sum(stages.values())
    print(f"CPU time by stage, one core, {count:,} pictures:")
    for name, took in stages.items():
        print(f"  {name:<10}{took / count * 1e3:6.1f} ms a picture {count / took:9,.0f} pictures/s")
    print(f"  {'together':<10}{whole / count * 1e3:6.1f} ms a picture")
    parts["rest"] = whole - sum(parts.values())
    shares = ", ".join(f"{name} {took / whole:.0%}" for name, took in parts.items())
    print(f"  of that: {shares}")


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--raw", type=Path, help="measure on this folder")
    flags.add_argument("--photographs", type=Path, default=ROOT.parent / "shared" / "photos")
    flags.add_argument("--count", type=int, default=500)
    flags.add_argument("--runs", type=int, default=3)
    flags.add_argument("--workers", type=int, default=2)
    flags.add_argument("--exact", action="store_true", help="the pipeline searches at every size")
    flags.add_argument(
        "--opencv-threads",
        type=int,
        default=-1,
        help="the published scripts'; -1 is OpenCV's choice",
    )
    chosen = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work, raw = Path(folder), chosen.raw
        if raw is None:
            photographs = chosen.photographs
            if not photographs.is_dir():
                photographs = work / "demo"
                pipeline(["sample-data", "--output", str(photographs), "--count", "20"])
            raw = work / "raw"
            vary(photographs, raw, chosen.count)
        count = sum(1 for path in raw.rglob("*") if path.is_file())
        print(f"{count:,} pictures, {chosen.workers} workers", flush=True)
        compare(raw, work, chosen.runs, chosen.workers, chosen.exact, chosen.opencv_threads)
        report(raw, work, count)


if __name__ == "__main__":
    main()
