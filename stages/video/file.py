"""An annotated video as it is written: H.264 in an MP4, which browsers play."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.trouble import Trouble
from stages.video.frames import RATE, Frame

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.video.stream import VideoStream

TICK = Fraction(1, 360_000)
"""Seconds. A frame of every usual rate (24, 25, 30, 30000/1001, …) lasts a whole number of it."""
LARGEST = 8192  # pixels of a side: what H.264 has levels for
OPTIONS = {"preset": "ultrafast", "crf": "23"}  # keeps pace with the prediction


class VideoFile:
    """Takes frames one after the other; nothing is there under its name before `finish`."""

    def __init__(self, path: Path, width: int, height: int, rate: float = RATE) -> None:
        """The size in pixels is made even. `rate` (frames a second) is a hint for players.

        Raises Trouble where the file cannot be written.
        """
        import av

        self._path, self._beside = path, path.with_name(f".new-{path.name}")
        smaller = min(1.0, LARGEST / max(width, height))
        self._width, self._height = (
            max(2, int(side * smaller) // 2 * 2) for side in (width, height)
        )
        self._waiting: Packet[VideoStream] | None = None
        self._last = -1  # when the last frame begins, in ticks, and how long it lasts
        self._length = 0
        try:
            self._container = av.open(
                str(self._beside), "w", format="mp4", options={"movflags": "faststart"}
            )
            self._stream = self._container.add_stream(
                "libx264", rate=Fraction(rate).limit_denominator(1001), options=OPTIONS
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._trouble(error) from error
        self._stream.width, self._stream.height = self._width, self._height
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = TICK
        self._stream.codec_context.thread_count = 1  # the same bytes on every machine

    def write(self, frame: Frame) -> None:
        """Add a frame at its own time. Raises Trouble where that fails."""
        import av

        picture = av.VideoFrame.from_ndarray(frame.image)
        picture = picture.reformat(self._width, self._height, "yuv420p")
        picture.time_base = TICK
        picture.pts = self._last = max(round(frame.time / TICK), self._last + 1)
        self._length = round(frame.length / TICK)
        self._encode(picture)

    def finish(self) -> None:
        """Give the file its name. Raises Trouble where that fails."""
        import av

        self._encode(None)
        try:
            if self._waiting is not None:
                self._waiting.duration = self._length
                self._container.mux(self._waiting)
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            raise self._trouble(error) from error
        self._beside.replace(self._path)

    def _encode(self, picture: VideoFrame | None) -> None:
        """Encode a picture (None: no more come). The last packet waits for its length."""
        import av

        try:
            for packet in self._stream.encode(picture):
                if self._waiting is not None:
                    self._container.mux(self._waiting)
                self._waiting = packet
        except (av.FFmpegError, OSError) as error:
            raise self._trouble(error) from error

    def _trouble(self, error: Exception) -> Trouble:
        reason = getattr(error, "strerror", None) or error
        return Trouble(f"{reason}: {self._path} cannot be written as a video")
