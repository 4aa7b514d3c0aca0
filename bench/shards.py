"""Training from shards against training from the decoded array: accuracy, time and memory.

`python bench/shards.py FOLDER` trains on a folder of labels whose pictures are crops already, in
turn from the array and from shards, each in a process of its own, with several seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

KINDS = {"array": (), "shards": ("--split.format", "both", "--stream")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", type=Path, help="a folder of labels")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--window", default="256", help="pictures shuffled at a time")
    parser.add_argument("--shard-size", default="100")
    parser.add_argument("rest", nargs="*", help="more words for train, after --")
    wanted = parser.parse_args()
    rows: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(wanted.seeds):
            for kind, words in KINDS.items():
                window = (wanted.window,) if words else ()
                rows[kind].append(
                    trained(
                        Path(folder, kind),
                        [
                            *("--raw", str(wanted.raw), "--region", "whole", "--name", str(seed)),
                            *("--seed", str(seed), "--epochs", str(wanted.epochs)),
                            *("--split.shard-size", wanted.shard_size, *words, *window),
                            *wanted.rest,
                        ],
                    )
                )
    for kind, found in rows.items():
        accuracies, seconds, memory = zip(*found, strict=True)
        deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        print(
            f"{kind}: last epoch {statistics.mean(accuracies):.1%} ± {deviation:.1%} of val, "
            f"{statistics.median(seconds):.1f} CPU seconds, {max(memory):,.0f} MB at most"
        )


def trained(processed: Path, words: Sequence[str]) -> tuple[float, float, float]:
    """Accuracy on val after the last epoch, CPU seconds in user mode, and the largest memory in MB,
    of a training in a process of its own.
    """
    command = [sys.executable, "-m", "pipeline", "train", "--processed", str(processed), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    run = processed / "runs" / words[words.index("--name") + 1]
    last = json.loads((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return last["data/valacc"], used.ru_utime, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
