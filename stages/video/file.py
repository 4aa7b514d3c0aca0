"""An MP4 as it is written: it has its name only once it is finished."""

from __future__ import annotations

from pathlib import Path

from pipeline.sample import Image
from pipeline.trouble import Trouble


class VideoFile:
    """Takes frames one after the other; nothing is there under its name before `finish`."""

    def __init__(self, path: Path, rate: float, width: int, height: int) -> None:
        """`rate` in frames a second. Raises Trouble where OpenCV cannot write it."""
        import cv2

        self._path, self._beside = path, path.with_name(f".new-{path.name}")
        code = cv2.VideoWriter.fourcc(*"mp4v")
        size = (width, height)
        self._writer = cv2.VideoWriter(str(self._beside), cv2.CAP_FFMPEG, code, rate, size)
        if not self._writer.isOpened():
            raise Trouble(f"{path} cannot be written as a video")

    def write(self, frame: Image) -> None:
        """Add a frame, height×width×3 uint8 RGB."""
        import cv2

        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def finish(self) -> None:
        self._writer.release()
        self._beside.replace(self._path)
