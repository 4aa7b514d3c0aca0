"""The two model files of the face stages: where they lie and what they must be."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.trouble import Trouble

if TYPE_CHECKING:
    import cv2

FOLDER = Path(__file__).parent.parent.parent / "face_models"
HAAR = "haarcascade_frontalface_default.xml"
LANDMARKS = "shape_predictor_68_face_landmarks.dat"
SIZE = {LANDMARKS: 99_693_937}
SHA256 = {LANDMARKS: "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"}
PACKAGE = "face-recognition-models==0.3.0"  # the registry package that carries the landmark model


@cache
def installed(name: str) -> Path:
    """Path of a model file. Raises Trouble where it is missing or cut short."""
    path = FOLDER / name
    if not path.is_file():
        raise Trouble(f"{path} is missing: run `make setup`, which fetches it")
    size = path.stat().st_size
    if size == 0 or size != SIZE.get(name, size):
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
