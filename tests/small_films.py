"""Small films of plain frames, with the times, the turn and the sound that a test asks for."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Disposition

from pipeline.sample import Image

QUICK = {"preset": "ultrafast"}
UNEVEN = (0.0, 0.04, 0.08, 0.5, 0.54, 1.7, 1.76)
"""Seconds: what a phone or a browser records, with gaps."""


def grey(number: int, width: int = 64, height: int = 48) -> Image:
    """A frame that tells its number by its brightness; its upper left corner is white."""
    image = np.full((height, width, 3), 20 + 20 * (number % 11), np.uint8)
    image[: height // 4, : width // 4] = 255
    return image


def write_film(
    path: Path,
    times: Sequence[float] = UNEVEN,
    kind: str = "mp4",
    codec: str = "mpeg4",
    turn: int = 0,
    sound: float = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """A film in a container of FFmpeg's `kind`, turned by so many degrees when it is shown, with so
    many seconds of silence.
    """
    tick = Fraction(1, 25 if kind == "avi" else 1000)  # an AVI's frames all last as long
    with av.open(str(path), "w", format=kind, options=options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=QUICK if codec == "libx264" else {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = tick
        stream.codec_context.gop_size = 1
        if turn:
            stream.set_display_rotation(turn)
        silence = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(grey(number)).reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = round(time / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if silence is not None:
            _be_silent(container, silence, sound)
    return path


def write_song(path: Path) -> Path:
    """A second of silence with a picture of a cover."""
    with av.open(str(path), "w", format="mp4") as container:
        silence = container.add_stream("aac", rate=8000, layout="mono")
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(grey(0)).reformat(format="yuvj420p")
        container.mux([*cover.encode(picture), *cover.encode()])
        _be_silent(container, silence, 1)
    return path


def _be_silent(container: OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    for start in range(0, round(seconds * 8000), 1024):
        samples = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        samples.sample_rate, samples.pts = 8000, start
        container.mux(stream.encode(samples))
    container.mux(stream.encode())
