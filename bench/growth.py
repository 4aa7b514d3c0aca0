"""How time, memory and record grow with the number of pictures: 1,000, 10,000, 100,000.

Small pictures, one face on grounds that differ (or dedupe would drop nearly all), go from a raw
folder to mouths; then once more with nothing to do, and with one picture in a hundred new.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from programs import run

from pipeline.pictures import encode
from stages.demo.portrait import portrait

SIDE, FACE = 240, 110  # pixels of a picture, and of the face in it
NEW = 100  # one picture in so many
ALONE = 10_000  # up to so many pictures, one worker is timed too


def fill(raw: Path, start: int, count: int) -> None:
    """Pictures number `start` to `count`, a thousand to a folder below one label."""
    import cv2

    image = portrait()[0][10:220, 115:325]
    face = cv2.resize(image, (FACE, FACE), interpolation=cv2.INTER_AREA).astype(np.int16)
    for number in range(start, count):
        rng = np.random.default_rng(number)
        patches = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = cv2.resize(patches, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        left, top = rng.integers(0, SIDE - FACE + 1, 2)
        noisy = face + rng.integers(-6, 7, face.shape, np.int16) + rng.integers(-20, 21)
        picture[top : top + FACE, left : left + FACE] = np.clip(noisy, 0, 255)
        folder = raw / "none" / f"{number // 1000:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06d}.jpg").write_bytes(encode(picture, 85))


def measure(folder: Path, count: int, workers: int) -> dict[str, float]:
    """Each first run has a folder of its own: what was just deleted slows a file system down."""
    raw, processed = folder / "raw", folder / "processed"
    where = ("--raw", raw, "--processed", processed, "--workers", workers)
    fill(raw, 0, count)
    first = run("-m", "pipeline", "lips", *where)
    again = run("-m", "pipeline", "lips", *where)
    ledger = (processed / "ledger.sqlite").stat().st_size
    found = {
        "mouths": sum(1 for _ in (processed / "lips").rglob("*.jpg")),
        "seconds": first.seconds,
        "CPU milliseconds a picture": first.cpu_seconds / count * 1e3,
        "parent MB": first.alone,
        "all MB": first.megabytes,
        "ledger bytes a picture": ledger / count,
        "CPU seconds with nothing to do": again.cpu_seconds,
    }
    if count <= ALONE:
        one = ("--raw", raw, "--processed", folder / "alone", "--workers", 1)
        alone = run("-m", "pipeline", "lips", *one)
        found[f"times as fast with {workers} workers as with one"] = alone.seconds / first.seconds
    fill(raw, count, count + count // NEW)
    found["CPU seconds with 1% new"] = run("-m", "pipeline", "lips", *where).cpu_seconds
    return found


def draw(found: dict[int, dict[str, float]], path: Path) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    counts = list(found)
    left.plot(counts, [one["CPU milliseconds a picture"] for one in found.values()], "o-")
    left.set(ylabel="CPU milliseconds a picture, first run", ylim=(0, None))
    right.plot(counts, [one["parent MB"] for one in found.values()], "o-", label="parent")
    right.plot(counts, [one["all MB"] for one in found.values()], "o-", label="with its workers")
    right.set(ylabel="most memory in MB", ylim=(0, None))
    right.legend()
    for axes in (left, right):
        axes.set(xscale="log", xlabel="pictures")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000])
    flags.add_argument("--workers", type=int, default=2)
    flags.add_argument("--figure", type=Path, help="a picture of it, for example growth.png")
    chosen = flags.parse_args()
    found = {}
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        for count in chosen.counts:
            found[count] = measure(Path(folder, str(count)), count, chosen.workers)
            told = ", ".join(f"{name} {value:,.1f}" for name, value in found[count].items())
            print(f"{count:,} pictures: {told}", flush=True)
    if chosen.figure:
        draw(found, chosen.figure)


if __name__ == "__main__":
    main()
