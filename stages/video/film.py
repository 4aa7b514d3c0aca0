"""Frames of a video file with their own times, by FFmpeg's libraries in PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.sample import Image, Reject
from stages.formats.containers import FORMATS, ends_early
from stages.video.frames import RATE, Frame

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

LARGEST = 100.0  # megapixels of a frame
DAY = 86_400.0  # seconds


class Film:
    """A video file. Frames that do not decode are left out."""

    live = False

    def __init__(self, path: Path, max_megapixels: float = LARGEST) -> None:
        """Raises Reject: `corrupt`, `not_an_image` (there are no moving pictures in it),
        `unsupported_format`, `too_large`.
        """
        self.path = path
        self._max_pixels = int(max_megapixels * 1e6)
        self._container = _opened(path)
        self._stream = self._chosen()
        self._tick = float(self._stream.time_base or 0)  # seconds
        self.rate = float(self._stream.average_rate or self._stream.guessed_rate or RATE)
        """Frames a second, on average."""
        self._declared = self._stream.frames  # 0: the file does not say
        self.frames = self._declared or self._estimated()
        self.decoded = 0
        """How many frames have been read so far."""
        self.end = 0.0
        """When the last of them ends, in seconds."""

    @property
    def ends_early(self) -> bool:
        """Whether the file ends before its frames do; known once all that are there were read."""
        return ends_early(self.path) and not 0 < self._declared <= self.decoded

    def _chosen(self) -> VideoStream:
        from av.stream import Disposition

        streams = [
            stream
            for stream in self._container.streams.video
            if not stream.disposition & Disposition.attached_pic  # the cover of a song
        ]
        if not streams:  # without any stream the file is damaged, else it is a song
            raise Reject("not_an_image" if self._container.streams else "corrupt")
        codec = streams[0].codec_context
        if codec is None:  # FFmpeg has no decoder for it
            raise Reject("unsupported_format")
        if codec.width * codec.height > self._max_pixels:
            raise Reject("too_large", megapixels=round(codec.width * codec.height / 1e6, 1))
        codec.options = {"max_pixels": str(self._max_pixels)}
        codec.thread_type = "AUTO"
        return streams[0]

    def _estimated(self) -> int:
        stream, duration = self._stream, self._container.duration or 0
        seconds = stream.duration * self._tick if stream.duration else duration / 1e6
        return round(seconds * self.rate)

    def __iter__(self) -> Iterator[Frame]:
        """Frames, upright; time 0 is where sound or pictures begin, whichever is first.

        Times rise: where the file's own fall back, or leap a day ahead, the film goes on from the
        last frame.
        """
        step = 1 / self.rate
        last, moved = -step, min(0.0, -(self._container.start_time or 0) / 1e6)
        with self._container:
            for frame in self._decode():
                ticks = frame.pts if frame.pts is not None else frame.dts
                time = last + step if ticks is None else ticks * self._tick + moved
                if not last < time < last + DAY:
                    moved += last + step - time
                    time = last + step
                last = time
                length = frame.duration * self._tick
                if not 0 < length < DAY:
                    length = step
                self.decoded += 1
                self.end = time + length
                yield Frame(time, _upright(frame), length)

    def _decode(self) -> Iterator[av.VideoFrame]:
        import av

        packets = self._container.demux(self._stream)
        packet: av.Packet[VideoStream] | None
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:  # nothing beyond this place can be read
                packet = None
            with suppress(av.FFmpegError):  # a damaged frame
                yield from self._stream.decode(packet)
            if packet is None:
                return


def _opened(path: Path) -> av.container.InputContainer:
    """The file by what it holds. No format that names other files is tried, nor any network."""
    import av

    only = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    try:
        return av.open(f"file:{path.resolve()}", options=only)
    except (av.FFmpegError, ValueError) as error:
        raise Reject("corrupt", decoder=str(error)) from error


def _upright(frame: av.VideoFrame) -> Image:
    """H×W×3 uint8 RGB, turned as the file says that it is to be shown."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns), np.uint8)
