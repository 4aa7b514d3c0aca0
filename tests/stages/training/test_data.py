"""Crops as one array: a set larger than the memory that a process may have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
from small_sets import ALONE, put

SCRIPT = """
import resource, sys
from pathlib import Path
import torch
from pipeline.sample import Sample
from stages.training.data import load_crops
from stages.training.loop import fit
from stages.training.recipes import Recipe

folder = Path(sys.argv[1])
files = sorted(folder.rglob("*.jpg"))
labels = ["none", "smile"]
samples = [Sample(f"{n}.jpg", f.parent.name, f) for n in range(80) for f in files]
recipe, cpu = Recipe(epochs=1, batch=32, rotate=0, colour=0), torch.device("cpu")
fit(recipe, 0, load_crops(samples[:64], labels, 320), None, labels, cpu)  # all that is loaded late

status = dict(line.split(":", 1) for line in open("/proc/self/status"))
held = int(status["VmData"].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + 120_000_000,) * 2)
try:
    load_crops(samples, labels, 320)
    print("memory is not limited")
except MemoryError:
    print("too large to be held")
crops = load_crops(samples, labels, 320, folder / "cache" / "train-1.npy")
state = fit(recipe, 0, crops, None, labels, cpu)
print(state.epoch, crops.pictures.nbytes)
"""


def test_a_set_larger_than_the_allowed_memory_trains(tmp_path: Path) -> None:
    put(tmp_path, {"none": 5, "smile": 5})
    for path in list(tmp_path.rglob("*.png")):
        cv2.imwrite(str(path.with_suffix(".jpg")), cv2.imread(str(path)))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, env=ALONE
    )
    assert done.stdout.splitlines() == ["too large to be held", f"1 {800 * 3 * 320 * 320}"], (
        done.stderr[-2000:]
    )
