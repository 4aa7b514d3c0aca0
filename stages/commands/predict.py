"""The command that labels new pictures and videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.executors import Executor
from pipeline.trouble import Trouble, Usage
from stages.commands.model_choice import resolve_model
from stages.predict.answers import Answer, Tables
from stages.predict.inputs import Input, inputs
from stages.predict.pictures import Copies, label_pictures
from stages.predict.predictor import Predictor
from stages.predict.reasons import UNREADABLE
from stages.predict.results import LIVE, results_in
from stages.video.labels import VideoLabeller, require_display

if TYPE_CHECKING:
    from pipeline.context import Context


@dataclass(frozen=True)
class Predict:
    """Label pictures, folders, videos or a camera; writes tables and annotated copies."""

    input: str = ""
    """A picture, a video, a folder of any depth, a pattern ('*.jpg'), or - for standard input."""
    files_from: Path | None = None
    """A text file that names a picture or video on each line, in place of --input."""
    camera: int | None = None
    """Number of a camera (the first is 0), in place of --input; Ctrl-C ends it."""
    stream: str = ""
    """Address of a video stream (rtsp://…, http://…), in place of --input; Ctrl-C ends it."""
    model: Path | None = None
    """A run's folder, a .safetensors or .onnx file; unset takes the newest in processed/runs/."""
    output: Path | None = None
    """Where tables, pictures and videos go; unset is processed/predictions/."""
    faces: Literal["largest", "all"] = "largest"
    """Which faces of a picture get an answer."""
    csv: bool = True
    """Write predictions.csv."""
    jsonl: bool = True
    """Write predictions.jsonl: the same with landmarks, a JSON object a line."""
    draw: bool = True
    """Write annotated copies of pictures and videos."""
    landmarks: bool = False
    """Draw the 68 landmarks with their numbers too."""
    record: bool = False
    """Write the annotated video of a camera or stream too."""
    show: bool = False
    """Show videos in a window as they are labelled; q closes it."""
    detect_every: int = 5
    """Video frames from one search for faces to the next; landmarks lead in between."""
    smooth: float = 0.15
    """Seconds over which a face's shares are averaged in videos; 0 takes each frame alone."""

    def __post_init__(self) -> None:
        if self.detect_every < 1 or self.smooth < 0:
            raise ValueError("--detect-every must be 1 or more, --smooth 0 or more")
        sources = (self.input, self.files_from, self.camera is not None, self.stream)
        if sum(map(bool, sources)) > 1:
            raise ValueError("give only one of --input, --files-from, --camera and --stream")

    def run(self, context: Context) -> int:
        """Write a row for every face and every picture without one; 1 where one failed."""
        live = self.camera if self.camera is not None else self.stream or None
        follow = context.settings.common.follow_links
        given = list(inputs(self.input, self.files_from, follow)) if live is None else []
        if self.show:
            require_display()
        output = self._output(context)
        predictor = Predictor(resolve_model(self.model, context.workbench), self.faces)
        videos = VideoLabeller(predictor, self.detect_every, self.smooth, self.landmarks, self.show)
        copies = Copies(output, predictor.chain.normalize, self.landmarks) if self.draw else None
        if live is None:
            batches = _label(given, videos, copies, context.executor)
        else:
            batches = videos.live(live, output / LIVE if self.record else None)
        earlier = _earlier_results(output, given)
        tables = Tables(output, predictor.labels, self.csv, self.jsonl, earlier)
        counts = _write(batches, tables, endless=live is not None)
        context.workbench.put(output)
        print(f"predict: {counts.summary()}, in {context.workbench.place_of(output)}")
        if len(given) == 1 and given[0].sample.file == Path(self.input):
            counts.require_readable(given[0].sample.key)
        failed = counts.reasons["error"] + (copies.failed if copies else 0)
        return int(failed > 0)

    def _output(self, context: Context) -> Path:
        """Where results go. Raises Usage for a place in the raw folder, which is never written."""
        output = self.output or context.workbench.folder / "predictions"
        raw = context.settings.common.raw
        if isinstance(raw, Path) and output.resolve().is_relative_to(raw.resolve()):
            raise Usage(f"--output {output} lies in the raw folder ({raw}): give another place")
        return output


def _earlier_results(output: Path, given: Sequence[Input]) -> set[Path]:
    """Files of an earlier run in the output folder, but for those that are to be labelled now."""
    results = results_in(output)
    names = {path.name for path in results}
    files = (entry.sample.file for entry in given)
    kept = {path.resolve() for path in files if isinstance(path, Path) and path.name in names}
    return {path for path in results if path.resolve() not in kept}


def _write(batches: Generator[list[Answer]], tables: Tables, endless: bool) -> Counts:
    """Write the answers as they come. What is `endless` is ended by Ctrl-C."""
    ends: tuple[type[BaseException], ...] = (KeyboardInterrupt,) if endless else ()
    counts = Counts()
    with tables, suppress(*ends), closing(batches):
        for answers in batches:
            counts.add(answers)
            tables.add(answers)
    return counts


def _label(
    given: Sequence[Input], videos: VideoLabeller, copies: Copies | None, executor: Executor
) -> Generator[list[Answer]]:
    """Answers for the pictures among the inputs, then for the videos."""
    films: list[Input] = []
    pictures: list[Input] = []
    for entry in given:
        (films if entry.is_video else pictures).append(entry)
    yield from label_pictures(pictures, videos.predictor, executor, copies)
    for film in films:
        copy = copies.film(film.sample.key) if copies else None
        yield from videos.film(film.sample, copy)


class Counts:
    """How many faces have a label, and why the others have none."""

    def __init__(self) -> None:
        self.labelled = 0
        self.reasons: Counter[str] = Counter()

    def add(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            if answer.reason:
                self.reasons[answer.reason] += 1
            else:
                self.labelled += 1

    def summary(self) -> str:
        count = self.labelled + self.reasons.total()
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.reasons.most_common())
        return f"{self.labelled:,} of {count:,} labelled" + (f" ({reasons})" if reasons else "")

    def require_readable(self, name: str) -> None:
        """Raises Trouble where the only answer is that the file could not be read."""
        reasons = [reason for reason in self.reasons if reason in UNREADABLE]
        if reasons and self.labelled + self.reasons.total() == 1:
            raise Trouble(f"{name} has no answer ({reasons[0]}): {UNREADABLE[reasons[0]]}")
