"""Videos, cameras and streams: frame after frame, faces followed, labels smoothed."""

from __future__ import annotations

import math
import os
import queue
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from tqdm import tqdm

from pipeline import files
from pipeline.sample import Image, Reject, Sample
from pipeline.trouble import Trouble, Usage
from stages.answers import Answer
from stages.chain import Chain, Cut

if TYPE_CHECKING:
    from stages.predict import Predict, Predictor

BATCH = 16  # frames to one call of the network
AHEAD = 32  # frames read before they are needed
GIVE_UP = 4  # searches in a row without a face that was there
RATE = 30.0  # frames a second of a source that does not say


class Source:
    """Frames of a video file, a camera (by number) or a stream (by address)."""

    def __init__(self, where: Path | int | str) -> None:
        """Raises Trouble where it cannot be opened."""
        import cv2

        self.live = not isinstance(where, Path)
        name = f"file:{where.resolve()}" if isinstance(where, Path) else where
        # A local file must not lead the decoder anywhere else.
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "" if self.live else "protocol_whitelist;file"
        os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
        backend = cv2.CAP_ANY if isinstance(where, int) else cv2.CAP_FFMPEG
        self._capture = cv2.VideoCapture(name, backend)
        if not self._capture.isOpened():
            what = f"camera {where}" if isinstance(where, int) else str(where)
            raise Trouble(f"{what} cannot be opened as a video")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= 1000 else RATE
        self.frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __iter__(self) -> Iterator[tuple[float, Image]]:
        """Time in seconds and H×W×3 uint8 RGB picture of each frame."""
        import cv2

        began, number = time.monotonic(), 0
        while True:
            there, image = self._capture.read()
            if not there:
                break
            at = time.monotonic() - began if self.live else number / self.rate
            yield at, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
            number += 1
        self._capture.release()


@dataclass
class Track:
    """A face that is followed: its number, its box, how many searches in a row have missed it,
    and where the landmarks' middle was.
    """

    number: int
    box: list[int]
    missed: int = 0
    middle: Any = None

    def follow(self, points: Any) -> None:
        """Move the box as far as the landmarks (68×2) moved."""
        middle = np.mean(points, axis=0)
        if self.middle is not None:
            right, down = np.rint(middle - self.middle).astype(int).tolist()
            if right or down:
                self.box = [self.box[0] + right, self.box[1] + down, *self.box[2:]]
                self.middle = self.middle + (right, down)
        else:
            self.middle = middle


class Tracker:
    """Finds faces in every n-th frame and follows them by their landmarks in between."""

    def __init__(self, chain: Chain, every: int) -> None:
        self._chain = chain
        self._every = every
        self._seen = 0
        self._tracks: list[Track] = []
        self._next = 0

    def __call__(self, image: Image) -> list[tuple[int, Cut]]:
        """For each face the number it keeps from frame to frame, and its crop."""
        if self._chain.faces is None:
            return [(0, self._chain.cut(image, None))]
        if self._seen % self._every == 0 or any(track.missed for track in self._tracks):
            self._tracks = list(self._found(image))
        self._seen += 1
        cuts = []
        for track in self._tracks:
            facts, crop = self._chain.cut(image, track.box)
            if "landmarks" in facts:
                track.follow(facts["landmarks"])
            cuts.append((track.number, (facts, crop)))
        return cuts or [(-1, ({}, "no_face"))]

    def _found(self, image: Image) -> Iterator[Track]:
        """Faces of this frame; one that lies where another lay keeps its number, one that is
        missed is searched in the next frames again before it is given up.
        """
        try:
            boxes = [box for box in self._chain.boxes(image) if box is not None]
        except Reject:
            boxes = []
        old = list(self._tracks)
        for box in boxes:
            near = max(old, key=lambda track: overlap(track.box, box), default=None)
            if near is not None and overlap(near.box, box) > 0.3:
                old.remove(near)
                yield Track(near.number, box)
            else:
                yield Track(self._next, box)
                self._next += 1
        if self._chain.everyone or not boxes:
            for track in old:
                track.missed += 1
                if track.missed < GIVE_UP:
                    yield track


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes (left, top, width, height)."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    tall = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, wide) * max(0.0, tall)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


class Smooth:
    """Averages a face's shares over about so many seconds, later frames counting more."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._before: dict[int, tuple[float, Any]] = {}

    def __call__(self, track: int, at: float, shares: Sequence[float]) -> tuple[float, ...]:
        now = np.array(shares)
        if track in self._before and self._seconds:
            last, before = self._before[track]
            kept = math.exp(-(at - last) / self._seconds)
            now = kept * before + (1 - kept) * now
        self._before[track] = (at, now)
        return tuple(now.tolist())


def predict_video(
    settings: Predict, sample: Sample, predictor: Predictor, output: Path
) -> Iterator[list[Answer]]:
    """Rows of a video file, batch by batch; `corrupt` where it is none that can be read."""
    try:
        source = Source(sample.file)
    except Trouble:
        yield [Answer(sample.key, predictor.labels, reason="corrupt")]
        return
    name = files.output_name(sample.key).removesuffix(".jpg") + ".mp4"
    path = output / name if settings.draw else None
    rows = 0
    for answers in _answers(settings, sample.key, source, predictor, path, BATCH):
        rows += len(answers)
        yield answers
    if not rows:
        yield [Answer(sample.key, predictor.labels, reason="corrupt")]


def predict_live(settings: Predict, predictor: Predictor, output: Path) -> Iterator[list[Answer]]:
    """Rows of a camera or a stream, frame by frame, until it ends or Ctrl-C."""
    name = settings.stream or f"camera {settings.camera}"
    source = Source(settings.stream or settings.camera)
    path = output / "live.mp4" if settings.record else None
    print(f"predict: {name}, Ctrl-C ends it")
    try:
        yield from _answers(settings, name, source, predictor, path, 1)
    except KeyboardInterrupt:
        print("predict: stopped")


def _answers(
    settings: Predict,
    name: str,
    source: Source,
    predictor: Predictor,
    path: Path | None,
    batch: int,
) -> Iterator[list[Answer]]:
    """Follow faces, ask the network for a batch of frames, smooth, draw."""
    tracker, smooth = Tracker(predictor.chain, settings.detect_every), Smooth(settings.smooth)
    with ExitStack() as stack:
        draw = stack.enter_context(Screen(source.rate, path, settings))
        frames = stack.enter_context(Ahead(source))
        bar = tqdm(frames, "predict", source.frames or None, unit=" frames", dynamic_ncols=True)
        numbered = enumerate(bar)
        for group in iter(lambda: list(islice(numbered, batch)), []):
            found = [
                (number, at, image, *one) for number, (at, image) in group for one in tracker(image)
            ]
            answers = [
                _placed(answer, number, at, track, smooth)
                for answer, (number, at, _, track, _) in zip(
                    predictor.answers((name, cut) for *_, cut in found), found, strict=True
                )
            ]
            yield answers
            for number, (_, image) in group:
                draw(image, [one for one in answers if one.frame == number])
            if draw.closed:
                break


def _placed(answer: Answer, number: int, at: float, track: int, smooth: Smooth) -> Answer:
    shares = smooth(track, at, answer.shares) if answer.shares else ()
    return replace(answer, frame=number, time=round(at, 4), shares=shares)


class Ahead:
    """Reads frames in a thread before they are needed; of a live source only the newest."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._room: queue.Queue[tuple[float, Image] | None] = queue.Queue(
            1 if source.live else AHEAD
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Iterable[tuple[float, Image]]:
        self._thread.start()
        return iter(self._room.get, None)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(2)

    def _read(self) -> None:
        for frame in self._source:
            if self._source.live:
                self._forget_old()
            if not self._put(frame):
                return
        self._put(None)

    def _forget_old(self) -> None:
        try:
            self._room.get_nowait()
        except queue.Empty:
            return

    def _put(self, frame: tuple[float, Image] | None) -> bool:
        while not self._ended.is_set():
            try:
                self._room.put(frame, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False


class Screen:
    """Where annotated frames go: a video file, a window, both or nowhere."""

    def __init__(self, rate: float, path: Path | None, settings: Predict) -> None:
        """Raises Usage where a window is asked for and there is no display."""
        self._rate = rate
        self._path = path
        self._landmarks = settings.landmarks
        self._show = settings.show
        if settings.show and not _has_display():
            raise Usage("there is no display to show a window on: leave out --show")
        self._writer: Any = None
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        import cv2

        if self._writer is not None and self._path is not None:
            self._writer.release()
            _beside(self._path).replace(self._path)
        if self._show:
            cv2.destroyAllWindows()

    def __call__(self, image: Image, answers: Sequence[Answer]) -> None:
        if self._path is None and not self._show:
            return
        import cv2

        from stages.drawing import annotated, marks

        drawn = cv2.cvtColor(annotated(image, marks(answers, self._landmarks)), cv2.COLOR_RGB2BGR)
        if self._path is not None:
            self._write(self._path, drawn)
        if self._show:
            cv2.imshow("predict", drawn)
            self.closed = cv2.waitKey(1) & 0xFF == ord("q")

    def _write(self, path: Path, drawn: Any) -> None:
        import cv2

        if self._writer is None:
            height, width = drawn.shape[:2]
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(_beside(path)), code, self._rate, (width, height))
            if not self._writer.isOpened():
                raise Trouble(f"{path}: no video of {width}×{height} can be written")
        self._writer.write(drawn)


def _beside(path: Path) -> Path:
    return path.with_name(f".new-{path.name}")


def _has_display() -> bool:
    return sys.platform != "linux" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
