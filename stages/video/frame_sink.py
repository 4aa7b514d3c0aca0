"""Where annotated frames go: a video file, a window, both or nowhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from pipeline.sample import Image
from stages.predict.answers import Answer
from stages.video.file import VideoFile
from stages.video.frames import Frame

WAITING = 32  # frames that may wait to be drawn


class FrameSink:
    """Draws answers on frames in a thread, then writes and shows them.

    `path` is the video file to write. With `show`, `closed` is true once the user has closed the
    window.
    """

    def __init__(self, path: Path | None, landmarks: bool = False, show: bool = False) -> None:
        self._path = path
        self._landmarks = landmarks
        self._show = show
        self._video: VideoFile | None = None
        self._thread = ThreadPoolExecutor(1, "draw")
        self._waiting: deque[Future[Image]] = deque()
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the video, after an interruption too. Raises what went wrong while drawing."""
        import cv2

        self._thread.shutdown()
        if self._video is not None:
            self._video.finish()
        if self._show:
            cv2.destroyAllWindows()
        while self._waiting:
            self._waiting.popleft().result()

    def __call__(self, frame: Frame, answers: Sequence[Answer]) -> None:
        """Take a frame with its answers. Raises Trouble where the video cannot be written."""
        import cv2

        if self._path is None and not self._show:
            return
        self._waiting.append(self._thread.submit(self._draw, frame, answers))
        if self._show:
            drawn = self._waiting.popleft().result()
            cv2.imshow("predict", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
            self.closed = cv2.waitKey(1) & 0xFF == ord("q")
        elif len(self._waiting) > WAITING:
            self._waiting.popleft().result()

    def _draw(self, frame: Frame, answers: Sequence[Answer]) -> Image:
        """The annotated frame, H×W×3 uint8 RGB, which is also written to the video file."""
        from stages.predict.drawing import annotated, marks

        drawn = annotated(frame.image, marks(answers, self._landmarks))
        if self._path is not None:
            if self._video is None:
                height, width = drawn.shape[:2]
                self._video = VideoFile(self._path, width, height)
            self._video.write(frame._replace(image=drawn))
        return drawn
