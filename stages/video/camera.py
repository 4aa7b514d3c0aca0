"""Frames of a camera or a stream, as OpenCV captures them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np

from pipeline.trouble import Trouble
from stages.video.frames import RATE, Frame


class LiveSource:
    """Frames of a camera (by number) or a stream (by address); their times are those of arrival."""

    live = True
    frames = 0

    def __init__(self, where: int | str) -> None:
        """Raises Trouble where it cannot be opened."""
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # this program says what is wrong
        import cv2

        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            if isinstance(where, int):
                self._capture = cv2.VideoCapture(where)
            else:
                self._capture = cv2.VideoCapture(where, cv2.CAP_FFMPEG)
        finally:
            cv2.utils.logging.setLogLevel(level)
        if not self._capture.isOpened():
            name = f"camera {where}" if isinstance(where, int) else where
            raise Trouble(f"{name} cannot be opened as a video: is it there, and not in use?")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self._rate = rate if 0 < rate <= 1000 else RATE

    def __iter__(self) -> Iterator[Frame]:
        """Frames until there are no more, or none that can be decoded."""
        import cv2

        began = time.monotonic()
        try:
            while (read := self._capture.read())[0]:
                image = np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), np.uint8)
                yield Frame(time.monotonic() - began, image, 1 / self._rate)
        finally:
            self._capture.release()
