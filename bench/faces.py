"""Whom the face filter finds in a folder of pictures, with the second look and without.

`--verdicts FILE.csv` (columns file, verdict: mouth, none or anything else) counts the crops that
should come out and do, and those that should not. `--points FILE.csv` (columns file, 68 points)
counts crops that lie on the mouth. `--by FILE.csv` (a column file, any others: skin tone, age,
sex) prints the recall of each group, so that you see whom a set leaves out. `--detectors` times
Haar, dlib's HOG detector and BlazeFace by the size of the picture.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import dlib
import numpy as np

from pipeline.sample import Image, Reject, Sample
from stages.face.closeup import box_of
from stages.face.crop import overlap, square_around
from stages.face.landmarks import LIPS
from stages.face.second_look import SecondLook
from stages.faces import Faces
from stages.lips import Lips
from stages.normalize import Normalize

WAYS = {"Haar alone": Faces(second_look="none"), "second look": Faces()}
RIGHT = 0.7  # intersection over union with the square around a person's points
SIZES = (400, 800, 1600, 65_500)  # long sides that --detectors tells apart, in pixels
HOG_SIDE = 320  # long side that HOG's picture is reduced to, in pixels


@dataclass(frozen=True)
class Found:
    """What came of one picture, one way."""

    detector: str
    """Who found the face; "" where nobody did."""
    crop: list[int] | None
    """Left, top, side, side of the mouth's crop."""
    seconds: float
    """CPU time of the stage faces."""


def find(sample: Sample, faces: Faces) -> Found:
    """The face and the mouth of a normalized picture."""
    began = time.process_time()
    detector, crop = "", None
    try:
        seen = faces(sample)
    except Reject:
        return Found(detector, crop, time.process_time() - began)
    took, detector = time.process_time() - began, seen.facts["detector"]
    with contextlib.suppress(Reject):
        crop = Lips()(seen).facts["crop"]
    return Found(detector, crop, took)


def column(path: Path | None, name: str) -> dict[str, str]:
    """A column of a CSV, by its column `file`; a name is known by its last part."""
    if path is None:
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        return {row["file"]: row[name] for row in csv.DictReader(file)}


def share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.1%})" if whole else "–"


def table(found: dict[str, dict[str, Found]]) -> None:
    print(
        "| | pictures | face | of these by BlazeFace | mouth crop | ms |\n|---|---|---|---|---|---|"
    )
    for way, pictures in found.items():
        faces = Counter(result.detector for result in pictures.values() if result.detector)
        crops = sum(result.crop is not None for result in pictures.values())
        took = np.mean([result.seconds for result in pictures.values()]) * 1e3
        counts = f"{len(pictures):,} | {faces.total():,} | {faces['blazeface']:,} | {crops:,}"
        print(f"| {way} | {counts} | {took:.1f} |")


def judged(found: dict[str, dict[str, Found]], verdicts: dict[str, str]) -> None:
    """Kept of those that show a mouth, rejected of those that do not, lost since Haar alone."""
    print("| | mouth: crop | none: no crop | lost of Haar's |\n|---|---|---|---|")
    for way, pictures in found.items():
        named = {word: named_so(pictures, verdicts, word) for word in ("mouth", "none")}
        kept = sum(pictures[name].crop is not None for name in named["mouth"])
        rejected = sum(pictures[name].crop is None for name in named["none"])
        had = [name for name in named["mouth"] if found["Haar alone"][name].detector]
        lost = sum(pictures[name].crop is None for name in had)
        cells = share(kept, len(named["mouth"])), share(rejected, len(named["none"]))
        print(f"| {way} | {' | '.join(cells)} | {share(lost, len(had))} |")


def named_so(pictures: Iterable[str], verdicts: dict[str, str], word: str) -> list[str]:
    return [name for name in pictures if lookup(verdicts, name) == word]


def lookup(values: dict[str, str], name: str) -> str:
    return values.get(name) or values.get(Path(name).name, "")


def right(found: dict[str, dict[str, Found]], points: dict[str, str], folder: Path) -> None:
    """Crops that lie on the mouth that a person marked."""
    print("| | crops | right | wrong |\n|---|---|---|---|")
    for way, pictures in found.items():
        near = 0
        crops = {name: result.crop for name, result in pictures.items() if result.crop}
        for name, crop in crops.items():
            values = np.array(lookup(points, name).split(","), float).reshape(68, 2)
            height, width = sample_of(folder, name).image.shape[:2]
            square = square_around(box_of(values[LIPS]), 1.5, width, height)
            near += overlap(crop, square.box) >= RIGHT
        print(f"| {way} | {len(crops):,} | {near:,} | {len(crops) - near:,} |")


def by_group(found: dict[str, dict[str, Found]], path: Path) -> None:
    """Recall of each value of each column: the share of its pictures that give a crop."""
    with open(path, newline="", encoding="utf-8") as file:
        columns = [name for name in csv.DictReader(file).fieldnames or () if name != "file"]
    print("| group | pictures |" + "".join(f" {way}: crop |" for way in found))
    print("|---|---|" + "---|" * len(found))
    for name in columns:
        groups: dict[str, list[str]] = defaultdict(list)
        values = column(path, name)
        for picture in found["Haar alone"]:
            if value := lookup(values, picture):
                groups[value].append(picture)
        for value, members in sorted(groups.items()):
            crops = (
                sum(pictures[member].crop is not None for member in members)
                for pictures in found.values()
            )
            cells = " | ".join(share(count, len(members)) for count in crops)
            print(f"| {name}: {value} | {len(members):,} | {cells} |")


def detectors(folder: Path, names: Iterable[str]) -> None:
    """How long each detector takes by itself, and how often it finds a face."""
    hog = dlib.get_frontal_face_detector()

    def by_hog(image: Image) -> bool:
        scale = min(1.0, HOG_SIDE / max(image.shape))
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return bool(len(hog(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), 0)))

    def by_haar(image: Image) -> bool:
        return bool(Faces().find(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)))

    ways: dict[str, Callable[[Image], bool]] = {
        "Haar": by_haar,
        f"HOG at {HOG_SIDE} px": by_hog,
        "BlazeFace": lambda image: bool(SecondLook(image).added([])),
    }
    times: dict[tuple[int, str], list[float]] = defaultdict(list)
    hits: Counter[tuple[int, str]] = Counter()
    for name in names:
        image = sample_of(folder, name).image
        side = max(image.shape)
        size = next((most for most in SIZES if side <= most), SIZES[-1])
        for way, sees in ways.items():
            began = time.process_time()
            hits[size, way] += sees(image)
            times[size, way].append(time.process_time() - began)
    print("| long side | pictures |" + "".join(f" {way}: ms, found |" for way in ways))
    print("|---|---|" + "---|" * len(ways))
    for size in sorted({size for size, _ in times}):
        cells = [f"{np.mean(times[size, way]) * 1e3:.1f}, {hits[size, way]:,}" for way in ways]
        print(f"| to {size:,} px | {len(times[size, next(iter(ways))]):,} | {' | '.join(cells)} |")


def sample_of(folder: Path, name: str) -> Sample:
    """A picture as the stage normalize leaves it. Raises Reject."""
    return Normalize()(Sample(name, "", folder / name))


def main() -> None:
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("folder", type=Path)
    flags.add_argument("--verdicts", type=Path)
    flags.add_argument("--points", type=Path)
    flags.add_argument("--by", type=Path)
    flags.add_argument("--detectors", action="store_true")
    chosen = flags.parse_args()
    cv2.setNumThreads(1)
    found: dict[str, dict[str, Found]] = {way: {} for way in WAYS}
    for path in sorted(path for path in chosen.folder.rglob("*") if path.is_file()):
        name = path.relative_to(chosen.folder).as_posix()
        try:
            sample = sample_of(chosen.folder, name)
        except Reject:
            continue  # no picture
        for way, faces in WAYS.items():
            found[way][name] = find(sample, faces)
    table(found)
    if chosen.verdicts:
        judged(found, column(chosen.verdicts, "verdict"))
    if chosen.points:
        right(found, column(chosen.points, "points (68 times x, y)"), chosen.folder)
    if chosen.by:
        by_group(found, chosen.by)
    if chosen.detectors:
        detectors(chosen.folder, found["Haar alone"])


if __name__ == "__main__":
    main()
