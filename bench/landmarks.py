"""How near the mouth crops are to people's points, and which pictures give one.

Needs the photographs of `--photographs`: `london-points` and `crops` have points, `wild` has
verdicts. Three ways are compared: dlib's 68 points straight from the detector's box, FaceMesh
alone, and the default, which asks both.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.sample import Reject, Sample
from stages.face.closeup import Points, box_of
from stages.face.crop import overlap, square_around
from stages.face.landmarks import LIPS, find_landmarks
from stages.faces import Faces
from stages.lips import Lips
from stages.normalize import Normalize

ROOT = Path(__file__).parent.parent
CLICKED = slice(87, 109)  # the mouth, of the 189 points of london-points
REDUCED = 720 / 1350  # our pictures are that much smaller than those that were clicked on

Way = Callable[[Sample], list[int]]
"""The crop (left, top, side, side) of a sample with a face; raises Reject."""


@dataclass(frozen=True)
class Plain:
    """The crop of dlib's landmarks as they come from the detector's box."""

    min_mouth: int

    def __call__(self, sample: Sample) -> list[int]:
        lips = find_landmarks(sample.image, sample.facts["face"])[LIPS].astype(float)
        if np.ptp(lips[:, 0]) < self.min_mouth:
            raise Reject("mouth_too_small")
        return square(lips, sample)


@dataclass(frozen=True)
class Stage:
    """The crop of the stage."""

    lips: Lips

    def __call__(self, sample: Sample) -> list[int]:
        crop: list[int] = self.lips(sample).facts["crop"]
        return crop


WAYS: dict[str, Way] = {
    "dlib alone": Plain(Lips.min_mouth),
    "FaceMesh alone": Stage(Lips(landmarks="mesh")),
    "both (default)": Stage(Lips()),
}


def square(lips: Points, sample: Sample) -> list[int]:
    """The square of 1.5 × the longer side of the points' box."""
    height, width = sample.image.shape[:2]
    return square_around(box_of(lips), 1.5, width, height).box


def clicked(folder: Path) -> dict[Path, Points]:
    """The mouths of london-points, by picture."""
    mouths = {}
    for file in sorted((folder / "london-points" / "none").glob("*.tem")):
        numbers = [float(word) for word in file.read_text().split()]
        points = np.array(numbers[1 : 1 + 2 * int(numbers[0])]).reshape(-1, 2)
        picture = folder / "london" / "none" / f"{file.stem}.jpg"
        mouths[picture] = points[CLICKED] * REDUCED
    return mouths


def annotated(folder: Path) -> dict[Path, Points]:
    """The mouths of crops, by picture."""
    with open(folder / "crops" / "landmarks.csv", newline="") as file:
        _, *rows = csv.reader(file)
    return {
        folder / "crops" / name: np.array(points.split(","), float).reshape(68, 2)[LIPS]
        for name, points in rows
    }


def verdicts(folder: Path) -> dict[Path, str]:
    """What a person says of the pictures of wild."""
    with open(folder / "wild" / "verdicts.csv", newline="") as file:
        return {folder / "wild" / row["file"]: row["verdict"] for row in csv.DictReader(file)}


def seen(pictures: Iterable[Path]) -> dict[Path, Sample]:
    """Samples with a face, by picture."""
    normalize, faces = Normalize(), Faces()
    samples = {}
    for picture in pictures:
        try:
            samples[picture] = faces(normalize(Sample(picture.name, "", picture)))
        except Reject:
            continue
    return samples


def nearness(mouths: dict[Path, Points], samples: dict[Path, Sample], way: Way) -> str:
    """Overlap of a way's crops with the squares around people's points."""
    began = time.process_time()
    crops = {}
    for picture, sample in samples.items():
        try:
            crops[picture] = way(sample)
        except Reject:
            continue
    took = (time.process_time() - began) / len(samples) * 1e3
    overlaps = [overlap(crop, square(mouths[at], samples[at])) for at, crop in crops.items()]
    low, middle = np.percentile(overlaps, [5, 50])
    kept = f"{len(crops):,} of {len(mouths):,} ({len(crops) / len(mouths):.1%})"
    return f"{kept} | {middle:.3f} | {low:.3f} | {min(overlaps):.3f} | {took:.1f}"


def outcomes(pictures: dict[Path, str], samples: dict[Path, Sample], way: Way) -> dict[Path, str]:
    """Of each picture of wild the reason why there is no crop; "" where there is one."""
    found = dict.fromkeys(pictures, "no_face")
    for picture, sample in samples.items():
        try:
            way(sample)
            found[picture] = ""
        except Reject as reject:
            found[picture] = reject.reason
    return found


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--photographs", type=Path, default=ROOT.parent / "shared" / "photos")
    folder = flags.parse_args().photographs
    cv2.setNumThreads(1)
    for name, mouths in (("london-points", clicked(folder)), ("crops", annotated(folder))):
        samples = seen(mouths)
        print(f"{name}: IoU of the crops with the squares around people's points")
        print("| way | crops | median | 5th percentile | least | ms |\n|---|---|---|---|---|---|")
        for way, crop in WAYS.items():
            print(f"| {way} | {nearness(mouths, samples, crop)} |", flush=True)
    pictures = verdicts(folder)
    samples = seen(pictures)
    print("wild: pictures with a crop, by what a person says of the mouth")
    for way, crop in WAYS.items():
        found = outcomes(pictures, samples, crop)
        for verdict in ("mouth", "none", "unsure"):
            reasons = Counter(found[at] for at in pictures if pictures[at] == verdict)
            kept, total = reasons.pop("", 0), sum(v == verdict for v in pictures.values())
            lost = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
            print(f"| {way} | {verdict} | {kept} of {total} ({kept / total:.1%}) | {lost} |")


if __name__ == "__main__":
    main()
