"""Videos, cameras and streams: frame after frame, faces followed, labels smoothed."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tqdm import tqdm

from pipeline import files
from pipeline.sample import Image, Sample
from pipeline.trouble import Trouble, Usage
from stages.predict.answers import Answer
from stages.video.file import VideoFile
from stages.video.frames import Ahead, Source
from stages.video.tracking import Smooth, Tracker

if TYPE_CHECKING:
    from stages.commands.predict import Predict
    from stages.predict.predictor import Predictor

BATCH = 16  # frames to one call of the network
WAITING = 32  # frames that may wait to be drawn
MISSING = 0.05  # share of the frames a file speaks of that may be missing: it counts roughly


def predict_video(
    settings: Predict, sample: Sample, predictor: Predictor, output: Path
) -> Iterator[list[Answer]]:
    """Rows of a video file, batch by batch; `corrupt` where it is none that can be read, and
    a last row `truncated` where it ends early.
    """
    try:
        source = Source(sample.file)
    except Trouble:
        source = None
    seen = -1
    if source is not None:
        name = files.output_name(sample.key).removesuffix(".jpg") + ".mp4"
        path = output / name if settings.draw else None
        for answers in _answers(settings, sample.key, source, predictor, path, BATCH):
            seen = max(seen, *(answer.frame or 0 for answer in answers))
            yield answers
    if source is None or seen < 0:
        yield [Answer(sample.key, predictor.labels, reason="corrupt")]
    elif seen + 1 < source.frames * (1 - MISSING) - 1 and not settings.show:
        at = round((seen + 1) / source.rate, 4)
        yield [Answer(sample.key, predictor.labels, reason="truncated", frame=seen + 1, time=at)]


def predict_live(settings: Predict, predictor: Predictor, output: Path) -> Iterator[list[Answer]]:
    """Rows of a camera or a stream, frame by frame, until it ends.

    Raises Trouble where it cannot be opened or nothing comes.
    """
    name = settings.stream or f"camera {settings.camera}"
    source = Source(settings.stream or settings.camera)
    path = output / "live.mp4" if settings.record else None
    print(f"predict: {name}, Ctrl-C ends it", flush=True)
    answers = _answers(settings, name, source, predictor, path, 1)
    first = next(answers, None)
    if first is None:
        raise Trouble(f"{name} was opened, but no picture came: is it a live stream?")
    yield first
    yield from answers


def require_display() -> None:
    """Raises Usage where no window can be shown."""
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        raise Usage("there is no display to show a window on: leave out --show")


def _answers(
    settings: Predict,
    name: str,
    source: Source,
    predictor: Predictor,
    path: Path | None,
    batch: int,
) -> Iterator[list[Answer]]:
    """Follow faces, ask the network for a batch of frames, smooth, draw."""
    _leave_a_core()
    tracker, smooth = Tracker(predictor.chain, settings.detect_every), Smooth(settings.smooth)
    with ExitStack() as stack:
        screen = stack.enter_context(Screen(source.rate, path, settings))
        frames = stack.enter_context(Ahead(source))
        bar = tqdm(frames, "predict", source.frames or None, unit=" frames", dynamic_ncols=True)
        numbered = enumerate(stack.enter_context(bar))
        for group in iter(lambda: list(islice(numbered, batch)), []):
            found = [(number, at, *one) for number, (at, image) in group for one in tracker(image)]
            answers = [
                _placed(answer, number, at, track, smooth)
                for answer, (number, at, track, _) in zip(
                    predictor.answers((name, cut) for *_, cut in found), found, strict=True
                )
            ]
            yield answers
            for number, (_, image) in group:
                screen(image, [one for one in answers if one.frame == number])
            if screen.closed:
                break


def _leave_a_core() -> None:
    """Frames are read and drawn in threads of their own: the search for faces takes one core, and
    torch all but one. More would wait for one another.
    """
    import cv2

    cv2.setNumThreads(1)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))


def _placed(answer: Answer, number: int, at: float, track: int, smooth: Smooth) -> Answer:
    shares = smooth(track, at, answer.shares) if answer.shares else ()
    return replace(answer, frame=number, time=round(at, 4), shares=shares)


class Screen:
    """Where annotated frames go: a video file, a window, both or nowhere. They are drawn and
    written in a thread.
    """

    def __init__(self, rate: float, path: Path | None, settings: Predict) -> None:
        self._rate = rate
        self._path = path
        self._landmarks = settings.landmarks
        self._show = settings.show
        self._video: VideoFile | None = None
        self._thread = ThreadPoolExecutor(1, "draw")
        self._waiting: deque[Future[Image]] = deque()
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What was drawn before an interruption is kept too."""
        import cv2

        self._thread.shutdown()
        if self._video is not None:
            self._video.finish()
        if self._show:
            cv2.destroyAllWindows()
        while self._waiting:
            self._waiting.popleft().result()

    def __call__(self, image: Image, answers: Sequence[Answer]) -> None:
        """Raises Trouble where the video cannot be written."""
        import cv2

        if self._path is None and not self._show:
            return
        self._waiting.append(self._thread.submit(self._drawn, image, answers))
        if self._show:
            drawn = self._waiting.popleft().result()
            cv2.imshow("predict", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
            self.closed = cv2.waitKey(1) & 0xFF == ord("q")
        elif len(self._waiting) > WAITING:
            self._waiting.popleft().result()

    def _drawn(self, image: Image, answers: Sequence[Answer]) -> Image:
        """The annotated frame, H×W×3 uint8 RGB; it is in the video file by then."""
        from stages.predict.drawing import annotated, marks

        drawn = annotated(image, marks(answers, self._landmarks))
        if self._path is not None:
            if self._video is None:
                height, width = drawn.shape[:2]
                self._video = VideoFile(self._path, self._rate, width, height)
            self._video.write(drawn)
        return drawn
