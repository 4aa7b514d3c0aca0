"""The published way to prepare photographs, in plain OpenCV and dlib: three scripts in a row.

One picture after the other, every picture decoded three times, faces searched twice, at every
size. Run as a program (`plain_scripts.py <raw> <output> <threads>`), it prints seconds by script as
JSON; -1 threads are as many as OpenCV likes. JPEGs that lie in `<output>/jpg` already are taken.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import dlib

FACE_MODELS = Path(__file__).parent.parent / "face_models"
HAAR = FACE_MODELS / "haarcascade_frontalface_default.xml"
LANDMARKS = FACE_MODELS / "shape_predictor_68_face_landmarks.dat"


def unify_formats(raw: Path, target: Path) -> None:
    """Every picture that OpenCV reads, as a JPEG."""
    for file in sorted(path for path in raw.rglob("*") if path.is_file()):
        image = cv2.imread(str(file))
        if image is not None:
            folder = target / file.relative_to(raw).parent
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{file.name}.jpg"), image)


def filter_faces(folder: Path) -> None:
    """Deletes pictures without a face."""
    cascade = cv2.CascadeClassifier(str(HAAR))
    for file in sorted(folder.rglob("*.jpg")):
        grey = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2GRAY)
        if len(cascade.detectMultiScale(grey, scaleFactor=1.3, minNeighbors=5)) == 0:
            file.unlink()


def crop_lips(folder: Path, target: Path) -> None:
    """Cuts out the mouth of the first face; boxes.json in `target` says where it was."""
    cascade = cv2.CascadeClassifier(str(HAAR))
    predictor = dlib.shape_predictor(str(LANDMARKS))
    boxes: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.rglob("*.jpg")):
        image = cv2.imread(str(file))
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        faces = cascade.detectMultiScale(grey, 1.3, 5)
        x, y, width, height = map(int, faces[0])
        face = dlib.rectangle(x, y, x + width - 1, y + height - 1)
        shape = predictor(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), face)
        columns = [shape.part(number).x for number in range(48, 68)]
        rows = [shape.part(number).y for number in range(48, 68)]
        across, down = max(columns) - min(columns), max(rows) - min(rows)
        side = round(1.5 * max(across, down))
        left = min(max(round((min(columns) + across / 2) - side / 2), 0), image.shape[1] - side)
        top = min(max(round((min(rows) + down / 2) - side / 2), 0), image.shape[0] - side)
        crop = image[max(0, top) : top + side, max(0, left) : left + side]
        place = target / file.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), cv2.resize(crop, (128, 128)))
        key = str(file.relative_to(folder)).removesuffix(".jpg")
        boxes[key] = {
            "crop": [left, top, side, side],
            "mouth": across,
            "face": [x, y, width, height],
            "largest": int(faces[:, 2].max()),
        }
    (target / "boxes.json").write_text(json.dumps(boxes))


def main(raw: Path, output: Path, threads: int) -> None:
    cv2.setNumThreads(threads)
    seconds: dict[str, float] = {}

    def timed(script: Callable[..., None], *folders: Path) -> None:
        began = time.perf_counter()
        script(*folders)
        seconds[script.__name__] = time.perf_counter() - began

    if not (output / "jpg").is_dir():
        timed(unify_formats, raw, output / "jpg")
    timed(filter_faces, output / "jpg")
    timed(crop_lips, output / "jpg", output / "lips")
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
