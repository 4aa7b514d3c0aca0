"""Videos, cameras and streams, frame after frame: faces are followed, their shares averaged."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from pipeline.progress import progress
from pipeline.sample import Reject, Sample
from pipeline.store import require_local
from pipeline.trouble import Trouble, Usage
from stages.predict.answers import Answer
from stages.predict.chain import Crop
from stages.predict.predictor import Predictor
from stages.video.camera import LiveSource
from stages.video.film import Film
from stages.video.frame_sink import FrameSink
from stages.video.frames import Ahead, VideoSource
from stages.video.tracking import Smooth, Tracker

BATCH = 16  # frames that the network sees at once


@dataclass(frozen=True)
class FaceInFrame:
    """A face of a frame: the frame's number and time in seconds, the face's own number."""

    frame: int
    time: float
    track: int
    crop: Crop


@dataclass(frozen=True)
class VideoLabeller:
    """Labels the faces of films and live pictures.

    Faces are searched in every `detect_every`-th frame; shares are averaged over `smooth` seconds.
    With `show`, frames are shown in a window, with `landmarks`, the points are drawn too.
    """

    predictor: Predictor
    detect_every: int = 5
    smooth: float = 0.15
    landmarks: bool = False
    show: bool = False

    def film(self, sample: Sample, copy: Path | None) -> Generator[list[Answer]]:
        """Answers for a video file, batch by batch; `copy` is the annotated video to write.

        A film without a frame that decodes has one row with the reason; one whose file ends early
        has a last row, `truncated`.
        """
        labels = self.predictor.labels
        try:
            film = Film(
                require_local(sample.file, "predict"), self.predictor.chain.normalize.max_megapixels
            )
        except Reject as reject:
            yield [Answer(sample.key, labels, reason=reject.reason)]
            return
        closed = yield from self._label(sample.key, film, copy, BATCH)
        if not film.decoded:
            yield [Answer(sample.key, labels, reason="corrupt")]
        elif not closed and film.ends_early:
            end = round(film.end, 4)
            yield [Answer(sample.key, labels, reason="truncated", frame=film.decoded, time=end)]

    def live(self, where: int | str, copy: Path | None) -> Generator[list[Answer]]:
        """Answers for a camera (by number) or a stream (by address), until it ends.

        Raises Trouble where it cannot be opened or nothing comes.
        """
        name = f"camera {where}" if isinstance(where, int) else where
        source = LiveSource(where)
        print(f"predict: {name}, Ctrl-C ends it", flush=True)
        answers = self._label(name, source, copy, batch=1)
        first = next(answers, None)
        if first is None:
            raise Trouble(f"{name} was opened, but no picture came: is it a live stream?")
        yield first
        yield from answers

    def _label(
        self, name: str, source: VideoSource, copy: Path | None, batch: int
    ) -> Generator[list[Answer], None, bool]:
        """Answers for `batch` frames at a time, before they are drawn.

        Returns whether the user has closed the window.
        """
        _leave_a_core()
        tracker, smooth = Tracker(self.predictor.chain, self.detect_every), Smooth(self.smooth)
        with (
            FrameSink(copy, self.landmarks, self.show) as sink,
            Ahead(source) as frames,
            progress(frames, desc="predict", total=source.frames or None, unit=" frames") as bar,
        ):
            numbered = enumerate(bar)
            while group := list(islice(numbered, batch)):
                faces = []
                for number, frame in group:
                    for track, crop in tracker(frame.image):
                        faces.append(FaceInFrame(number, frame.time, track, crop))
                answers = self._answers(name, faces, smooth)
                yield answers
                for number, frame in group:
                    sink(frame, [answer for answer in answers if answer.frame == number])
                if sink.closed:
                    break
        return sink.closed

    def _answers(self, name: str, faces: Sequence[FaceInFrame], smooth: Smooth) -> list[Answer]:
        answers = self.predictor.answers([(name, face.crop) for face in faces])
        for place, (face, answer) in enumerate(zip(faces, answers, strict=True)):
            shares = answer.shares and smooth(face.track, face.time, answer.shares)
            time = round(face.time, 4)
            answers[place] = replace(answer, frame=face.frame, time=time, shares=shares)
        return answers


def require_display() -> None:
    """Raises Usage where no window can be shown."""
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        raise Usage("there is no display to show a window on: leave out --show")


def _leave_a_core() -> None:
    """Frames are read and drawn in threads of their own: the search for faces takes one core, and
    torch all but one. More would wait for one another.
    """
    import cv2

    cv2.setNumThreads(1)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))
