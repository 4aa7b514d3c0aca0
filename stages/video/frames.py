"""Frames of a video, a camera or a stream, read before they are needed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import NamedTuple, Protocol, Self

from pipeline.sample import Image

AHEAD = 32  # frames read before they are needed
RATE = 30.0  # frames a second of a source that does not say


class Frame(NamedTuple):
    """When a frame is shown and for how long, in seconds; its picture, H×W×3 uint8 RGB."""

    time: float
    image: Image
    length: float


class VideoSource(Protocol):
    """Gives frames in the order of their times, once."""

    @property
    def live(self) -> bool:
        """Whether frames come at their own pace, so that late ones are dropped."""
        ...

    @property
    def frames(self) -> int:
        """About how many frames there are; 0 where that is not known."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...


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
        except Exception as error:  # raised where the next frame is waited for
            self._put(error)

    def _put(self, frame: Frame | Exception | None) -> None:
        """Wait for room; a live frame takes the place of an older one instead."""
        replaces = self._source.live and isinstance(frame, Frame)
        while not self._ended.is_set():
            try:
                self._room.put(frame, timeout=0 if replaces else 0.2)
            except queue.Full:
                if replaces:
                    self._drop_oldest()
            else:
                return

    def _drop_oldest(self) -> None:
        try:
            self._room.get_nowait()
        except queue.Empty:
            return
