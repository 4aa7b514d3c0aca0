"""Labels for new pictures and videos, by the same stages that cut the training crops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tqdm import tqdm

from pipeline import files
from pipeline.executors import Executor, Serial, in_order
from pipeline.sample import Reject, Sample
from stages.model import networks
from stages.normalize import Normalize
from stages.predict import inputs
from stages.predict.answers import Answer, Tables
from stages.predict.chain import Cut
from stages.predict.predictor import Predictor

if TYPE_CHECKING:
    from pipeline.context import Context

BATCH = 128  # pictures from crops to rows at once
FEW = 2  # pictures that are sooner done here than by workers that must start first


@dataclass(frozen=True)
class Annotate:
    """Draws boxes and labels on a copy of a picture, upright."""

    folder: Path
    normalize: Normalize
    landmarks: bool

    def __call__(self, task: tuple[Sample, Sequence[Answer]]) -> None:
        from pipeline.pictures import encode
        from stages.predict.drawing import annotated, enlarged, marks

        sample, answers = task
        try:
            picture = self.normalize(sample).image
        except Reject:
            return
        drawn = annotated(*enlarged(picture, marks(answers, self.landmarks)))
        files.write(self.folder / files.output_name(sample.key), encode(drawn))


@dataclass(frozen=True)
class Predict:
    """Label pictures, folders, videos or a camera; writes tables and annotated copies."""

    input: str = ""
    """A picture, a video, a folder of any depth, a pattern ('*.jpg'), or - for standard input."""
    files_from: Path = Path()
    """A text file that names a picture or video on each line, in place of --input."""
    camera: int = -1
    """Number of a camera (the first is 0), in place of --input; Ctrl-C ends it."""
    stream: str = ""
    """Address of a video stream (rtsp://…, http://…), in place of --input; Ctrl-C ends it."""
    model: Path = Path()
    """A run's folder, a .safetensors or .onnx file; unset takes the newest in processed/runs/."""
    output: Path = Path()
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

    def run(self, context: Context) -> int:
        """Write a row for every face and every picture without one; 1 where one failed."""
        from stages.video import labels as video

        live = self.camera >= 0 or bool(self.stream)
        asked = (
            []
            if live
            else list(
                inputs.asked(self.input, self.files_from, context.settings.common.follow_links)
            )
        )
        if self.show:
            video.require_display()
        model = networks.chosen(self.model, context.processed)
        predictor = Predictor(model, self.faces)
        output = self.output if self.output != Path() else context.processed / "predictions"
        counts = Count()
        with Tables(output, predictor.labels, self.csv, self.jsonl) as tables:
            videos = {sample.key for sample, refusal in asked if not refusal and _is_video(sample)}
            pictures = [one for one in asked if one[0].key not in videos]
            for answers in self._pictures(pictures, predictor, output, context.executor, counts):
                tables.add(counts.of(answers))
            for sample, _ in asked:
                if sample.key in videos:
                    for answers in video.predict_video(self, sample, predictor, output):
                        tables.add(counts.of(answers))
            if live:
                with suppress(KeyboardInterrupt):  # the usual end of a camera
                    for answers in video.predict_live(self, predictor, output):
                        tables.add(counts.of(answers))
        print(f"predict: {counts.summary()}, in {output}")
        return int(counts.failed > 0)

    def _pictures(
        self,
        asked: Sequence[inputs.Asked],
        predictor: Predictor,
        output: Path,
        executor: Executor,
        counts: Count,
    ) -> Iterator[list[Answer]]:
        """Answers for pictures in the order asked for, batch by batch."""
        if len(asked) <= FEW:
            executor = Serial()
        samples = [sample for sample, refusal in asked if not refusal]
        refused = {sample.key: refusal for sample, refusal in asked if refusal}
        cuts = map(_told, in_order(executor, predictor.chain, samples))
        annotate = Annotate(output, predictor.chain.normalize, self.landmarks)
        with tqdm(total=len(asked), desc="predict", unit=" pictures", disable=not asked) as bar:
            for start in range(0, len(asked), BATCH):
                batch = [sample for sample, _ in asked[start : start + BATCH]]
                answers = predictor.answers(
                    (sample.key, cut)
                    for sample in batch
                    for cut in (
                        [({}, refused[sample.key])] if sample.key in refused else next(cuts)
                    )
                )
                yield answers
                if self.draw:
                    counts.failed += _draw(annotate, batch, answers, executor)
                bar.update(len(batch))


class Count:
    """How many faces had an answer, and why the others had none."""

    def __init__(self) -> None:
        self.labelled = 0
        self.reasons: Counter[str] = Counter()
        self.failed = 0

    def of(self, answers: list[Answer]) -> list[Answer]:
        """Counts them; returns them as they are."""
        for answer in answers:
            self.labelled += bool(answer.shares)
            self.failed += answer.reason == "error"
            if answer.reason:
                self.reasons[answer.reason] += 1
        return answers

    def summary(self) -> str:
        asked = self.labelled + self.reasons.total()
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.reasons.most_common())
        return f"{self.labelled:,} of {asked:,} labelled" + (f" ({reasons})" if reasons else "")


def _is_video(sample: Sample) -> bool:
    return sample.encoded is None and inputs.is_video(sample.file)


def _told(result: tuple[Sample, list[Cut] | Exception]) -> list[Cut]:
    """What the chain made of a picture; where it failed, "error", and a line is printed."""
    sample, cuts = result
    if isinstance(cuts, Exception):
        print(files.shown(f"{sample.key}: {cuts!r}", but=""))
        return [({}, "error")]
    return cuts


def _draw(
    annotate: Annotate, batch: Sequence[Sample], answers: Sequence[Answer], executor: Executor
) -> int:
    """Annotated copies of a batch of pictures; returns how many could not be drawn."""
    by_file = {name: list(ones) for name, ones in groupby(answers, key=lambda one: one.file)}
    drawable = ("", "no_face", "mouth_too_small")
    tasks = [
        (sample, by_file[sample.key])
        for sample in batch
        if by_file[sample.key][0].reason in drawable
    ]
    failed = 0
    for (sample, _), failure in executor.map(annotate, tasks):
        if isinstance(failure, Exception):
            print(files.shown(f"{sample.key}: no picture drawn ({failure})", but=""))
            failed += 1
    return failed
