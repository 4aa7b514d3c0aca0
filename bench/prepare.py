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
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from photographs import vary
from programs import run

from pipeline.__main__ import main as pipeline
from pipeline.files import link
from pipeline.ledger import Ledger
from pipeline.runner import Runner
from pipeline.step import Step
from stages.face.crop import overlap

ROOT = Path(__file__).parent.parent
PARTS = {  # functions that share nothing, by file and name
    "start-up": [("settings.py", "resolve")],
    "decode": [
        ("reading.py", "_open"),
        ("pictures.py", "decode"),
        ("ImageFile.py", "load"),
        ("~", "<method 'get_next' of 'WebPAnimDecoder' objects>"),
        ("colour.py", "to_rgb"),
    ],
    "Haar": [("haar_search.py", "_search")],
    "BlazeFace": [("blazeface.py", "__call__")],
    "FaceMesh": [("mesh.py", "find_mesh")],
    "dlib": [("landmarks.py", "upright_landmarks"), ("landmarks.py", "find_landmarks")],
    "reducing": [("closeup.py", "__init__")],
    "recognition": [("hashes.py", "recognition")],
    "cut": [("crop.py", "cut")],
    "encode": [("pictures.py", "encode")],
    "write": [("files.py", "write"), ("files.py", "link"), ("~", "<built-in method posix.sync>")],
    "ledger": [
        ("ledger.py", name)
        for name in ("compare", "forget", "kept", "keys", "outputs", "record", "see")
    ],
}


def words(raw: Path, processed: Path, workers: int, exact: bool = False) -> list[str]:
    where = ["--raw", str(raw), "--processed", str(processed), "--workers", str(workers)]
    return ["lips", *where, *(["--faces.exact"] if exact else [])]


def by_stage(raw: Path, processed: Path) -> dict[str, float]:
    """CPU seconds of each stage by itself, in this process: no picture goes on to the next."""
    stages: dict[str, float] = {}
    whole = Runner.run

    def timed(runner: Runner, step: Step, after: Sequence[Step] = ()) -> int:
        began = time.process_time()
        errors = whole(runner, step)
        stages[step.name] = time.process_time() - began
        return errors

    with patch.object(Runner, "run", timed):
        pipeline(words(raw, processed, 0))
    return stages


def by_part(raw: Path, processed: Path) -> tuple[float, dict[str, float]]:
    """CPU seconds of a run in this process, and of its parts."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(pipeline, words(raw, processed, 0))
    told = pstats.Stats(profile)
    spent = {
        (Path(file).name, name): cumulative
        for (file, _, name), (_, _, _, cumulative, _) in told.stats.items()  # type: ignore[attr-defined]
    }
    parts = {
        part: sum(spent.get(function, 0.0) for function in functions)
        for part, functions in PARTS.items()
    }
    return told.total_tt, parts  # type: ignore[attr-defined]


def why(one: dict[str, Any], face: list[int]) -> str:
    """What a crop of the published way that lies elsewhere has to do with the face boxes."""
    overlaps = overlap(one["face"], face)
    if overlaps > 0.3:
        return f"face boxes {overlaps:.2f}, other landmarks"
    first = one["face"][2] < one["largest"]
    return "the scripts took a smaller face" if first else "another face"


def agreement(published: Path, processed: Path, least: int = 24) -> None:
    """Of the crops of the published way, how many are here, and why others are not."""
    boxes = json.loads((published / "lips/boxes.json").read_text())
    usable = {key: one for key, one in boxes.items() if one["mouth"] >= least}
    with Ledger(processed / "ledger.sqlite") as ledger:
        ours = {one.key: one.facts for one in ledger.samples("lips", processed)}
    overlaps = {
        key: overlap(one["crop"], ours[key]["crop"]) for key, one in usable.items() if key in ours
    }
    same = sum(one > 0.8 for one in overlaps.values())
    print(f"of the published way's {len(boxes):,} crops {len(usable):,} show a mouth of {least} px")
    print(f"  or more; {same:,} ({same / len(usable):.1%}) are here with IoU over 0.8")
    largest = [key for key, one in usable.items() if one["face"][2] == one["largest"]]
    same = sum(overlaps.get(key, 0) > 0.8 for key in largest)
    print(f"  of {len(largest):,} where the scripts took the largest of their faces: {same:,}")
    print(f"  ({same / len(largest):.1%})")
    for key, one in sorted(overlaps.items()):
        if one <= 0.8:
            print(f"    {key}: IoU {one:.2f} ({why(usable[key], ours[key]['face'])})")
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
    for number in range(runs):  # what was just deleted would slow the file system down
        published, processed = work / f"published{number}", work / f"processed{number}"
        plain = run("bench/plain_scripts.py", raw, published, threads)
        ours = run("-m", "pipeline", *words(raw, processed, workers, exact))
        seconds["published"].append(plain.seconds)
        seconds["pipeline"].append(ours.seconds)
        print(", ".join(f"{name} {ones[-1]:.1f} s" for name, ones in seconds.items()), flush=True)
    again = run("-m", "pipeline", *words(raw, processed, workers, exact)).seconds
    alone = run("-m", "pipeline", *words(raw, work / "alone", 1, exact)).seconds
    slow, fast = (statistics.median(ones) for ones in seconds.values())
    print(f"median of {runs}: published {slow:.1f} s, pipeline {fast:.1f} s: {slow / fast:.1f}×")
    scripts = json.loads(plain.output)
    told = ", ".join(f"{name} {took:.1f} s" for name, took in scripts.items())
    print(f"  published, the last run: {told}")
    print(f"  one worker: {alone:.1f} s, {workers} workers are {alone / fast:.2f}× as fast")
    print(f"  once more with nothing to do: {again:.2f} s ({again / fast:.1%})")
    print(f"  most memory: published {plain.megabytes:,.0f} MB, pipeline {ours.megabytes:,.0f} MB")
    agreement(published, processed)
    print("the scripts' search in the pipeline's own JPEGs, which lose less than theirs:")
    agreement(same_jpegs(raw, processed, work / "same", threads), processed)


def same_jpegs(raw: Path, processed: Path, output: Path, threads: int) -> Path:
    """The published way from the pipeline's JPEGs on; returns its folder."""
    with Ledger(processed / "ledger.sqlite") as ledger:
        for picture in ledger.samples("normalize", processed):
            link(picture.file, output / "jpg" / f"{picture.key}.jpg")
    run("bench/plain_scripts.py", raw, output, threads)
    return output


def report(raw: Path, work: Path, count: int) -> None:
    """Where the pipeline's CPU time goes, on one core."""
    stages = by_stage(raw, work / "staged")
    whole = sum(stages.values())
    print(f"CPU time of each stage by itself, one core, {count:,} pictures:")
    for name, took in stages.items():
        print(f"  {name:<10}{took / count * 1e3:6.1f} ms a picture {count / took:9,.0f} pictures/s")
    whole, parts = by_part(raw, work / "profiled")
    parts["rest"] = whole - sum(parts.values())
    shares = ", ".join(f"{name} {took / whole:.0%}" for name, took in parts.items())
    print(f"  in one go {whole / count * 1e3:.1f} ms, profiled; of that: {shares}")


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--raw", type=Path, help="measure on this folder")
    flags.add_argument("--photographs", type=Path, default=ROOT.parent / "shared" / "photos")
    flags.add_argument("--count", type=int, default=500)
    flags.add_argument("--crowds", type=float, default=0.0, help="share that shows several people")
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
            vary(photographs, raw, chosen.count, chosen.crowds)
        count = sum(1 for path in raw.rglob("*") if path.is_file())
        print(f"{count:,} pictures, {chosen.workers} workers", flush=True)
        compare(raw, work, chosen.runs, chosen.workers, chosen.exact, chosen.opencv_threads)
        report(raw, work, count)


if __name__ == "__main__":
    main()
