"""Frames a second and right labels on a video, by how often faces are searched and how long
labels are smoothed.

`.venv/bin/python bench/video.py --model demo/processed/runs/default --video demo/video.mp4`; beside
the video lies the table of true labels that `make sample-data` writes. The processor's time is
given too, for it does not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

from pipeline.sample import Sample
from stages.demo.video import CHANGE, RATE
from stages.predict.answers import Answer
from stages.predict.predictor import Predictor
from stages.video.film import Film
from stages.video.labels import VideoLabeller

SEARCHED = (1, 2, 5, 10, 15, 30)
SMOOTHED = (0.0, 0.1, 0.15, 0.3, 0.6)


def right(answers: list[Answer], truth: list[str]) -> tuple[float, float]:
    """Shares of frames whose label is right: of all, and of those after each change."""
    found = [(answer.frame or 0, answer.label) for answer in answers]
    hits = [(frame % RATE, label == truth[frame // RATE]) for frame, label in found]
    settled = [hit for place, hit in hits if place >= CHANGE]
    return sum(hit for _, hit in hits) / len(hits), sum(settled) / len(settled)


def measure(labeller: VideoLabeller, video: Path, truth: list[str], draw: bool = False) -> None:
    """Print one row of the table."""
    wall, processor = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        sample = Sample(video.name, "", video)
        copy = Path(folder, "copy.mp4") if draw else None
        batches = list(labeller.film(sample, copy))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    answers = [answer for batch in batches for answer in batch]
    count = len({answer.frame for answer in answers})
    every, settled = right(answers, truth)
    print(
        f"| {labeller.detect_every} | {labeller.smooth} | {'yes' if draw else 'no'} "
        f"| {count / wall:.0f} | {1000 * processor / count:.1f} | {every:.1%} | {settled:.1%} |",
        flush=True,
    )


def single(predictor: Predictor, video: Path, count: int = 60) -> None:
    """Print what one picture takes: the video's first frames, each on its own."""
    frames = [frame.image for frame in islice(Film(video), count)]
    processor, walls = time.process_time(), []
    for image in frames:
        began = time.perf_counter()
        predictor(image)
        walls.append(time.perf_counter() - began)
    processor = time.process_time() - processor
    print(
        f"a picture alone: {1000 * statistics.median(walls):.1f} ms (median), "
        f"{1000 * processor / count:.1f} ms of the processor's time"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--video", type=Path, required=True)
    given = parser.parse_args()
    with open(given.video.with_suffix(".csv"), encoding="utf-8", newline="") as file:
        truth = [row["label"] for row in csv.DictReader(file)]
    predictor = Predictor(given.model)
    labeller = VideoLabeller(predictor)
    list(labeller.film(Sample("", "", given.video), None))  # loads the models
    print(
        "| searched every | smoothed over s | drawn | frames/s | CPU ms a frame | right | settled |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for every in SEARCHED:
        measure(replace(labeller, detect_every=every), given.video, truth)
    for seconds in SMOOTHED:
        measure(replace(labeller, smooth=seconds), given.video, truth)
    measure(labeller, given.video, truth, draw=True)
    single(predictor, given.video)


if __name__ == "__main__":
    main()
