"""Frames of a video file, a camera or a stream, read before they are needed."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from pipeline.sample import Image
from pipeline.trouble import Trouble

if TYPE_CHECKING:
    import cv2

AHEAD = 32  # frames read before they are needed
RATE = 30.0  # frames a second of a source that does not say
OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"

Frame = tuple[float, Image]
"""Time in seconds and H×W×3 uint8 RGB picture."""


class VideoSource:
    """Frames of a video file, a camera (by number) or a stream (by address)."""

    def __init__(self, where: Path | int | str) -> None:
        """Raises Trouble where it cannot be opened."""
        import cv2

        self.live = not isinstance(where, Path)
        self._capture = _opened(where)
        if not self._capture.isOpened():
            name = f"camera {where}" if isinstance(where, int) else str(where)
            raise Trouble(f"{name} cannot be opened as a video: is it there, and not in use?")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= 1000 else RATE
        self.frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        """How many the file says it holds; 0 where it does not say."""

    def __iter__(self) -> Iterator[Frame]:
        """Frames until there are no more, or none that can be decoded."""
        import cv2

        began, number = time.monotonic(), 0
        try:
            while (read := self._capture.read())[0]:
                at = time.monotonic() - began if self.live else number / self.rate
                yield at, np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), np.uint8)
                number += 1
        finally:
            self._capture.release()


def _opened(where: Path | int | str) -> cv2.VideoCapture:
    """A local file must not lead the decoder anywhere else. What is wrong, we say ourselves."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    before = os.environ.get(OPTIONS)
    try:
        if isinstance(where, int):
            return cv2.VideoCapture(where)
        if isinstance(where, str):
            return cv2.VideoCapture(where, cv2.CAP_FFMPEG)
        os.environ[OPTIONS] = "protocol_whitelist;file"
        return cv2.VideoCapture(f"file:{where.resolve()}", cv2.CAP_FFMPEG)
    finally:
        cv2.utils.logging.setLogLevel(level)
        os.environ.pop(OPTIONS, None)
        if before is not None:
            os.environ[OPTIONS] = before


class Ahead:
    """Reads frames in a thread before they are needed; of a live source only the newest."""

    def __init__(self, source: VideoSource) -> None:
        self._source = source
        self._room: queue.Queue[Frame | Exception | None] = queue.Queue(1 if source.live else AHEAD)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(2)

    def __iter__(self) -> Iterator[Frame]:
        """Raises what went wrong in the thread."""
        while (frame := self._room.get()) is not None:
            if isinstance(frame, Exception):
                raise frame
            yield frame

    def _read(self) -> None:
        try:
            for frame in self._source:
                self._put(frame)
                if self._ended.is_set():
                    return
            self._put(None)
        except Exception as error:  # whoever waits for the next frame is told
            self._put(error)

    def _put(self, frame: Frame | Exception | None) -> None:
        while not self._ended.is_set():
            try:
                self._room.put(frame, timeout=0 if self._source.live else 0.2)
            except queue.Full:
                if self._source.live:
                    self._forget_oldest()
            else:
                return

    def _forget_oldest(self) -> None:
        try:
            self._room.get_nowait()
        except queue.Empty:
            return
