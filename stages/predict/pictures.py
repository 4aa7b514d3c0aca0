"""Many pictures: crops are cut by workers, the network sees them in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path

from pipeline import files
from pipeline.executors import Executor, in_order
from pipeline.executors.serial import Serial
from pipeline.progress import progress
from pipeline.sample import Reject, Sample
from stages.normalize import Normalize
from stages.predict.answers import Answer
from stages.predict.chain import Chain, Crop
from stages.predict.inputs import Input
from stages.predict.predictor import Predictor
from stages.predict.reasons import UNREADABLE
from stages.predict.results import video_name

BATCH = 128  # pictures that the network sees at once
FEW = 2  # so many pictures are done sooner here than by workers that must start first


def label_pictures(
    inputs: Sequence[Input], predictor: Predictor, executor: Executor, copies: Copies | None
) -> Iterator[list[Answer]]:
    """Answers in the order of the inputs, batch by batch; then `copies` draws the batch."""
    if len(inputs) <= FEW:
        executor = Serial()
    results = in_order(executor, partial(_crops, predictor.chain), inputs)
    with progress(total=len(inputs), desc="predict", unit=" pictures", disable=not inputs) as bar:
        while batch := list(islice(results, BATCH)):
            answers = predictor.answers(
                [
                    (given.sample.key, crop)
                    for given, result in batch
                    for crop in _checked(given.sample, result)
                ]
            )
            yield answers
            if copies is not None:
                copies.draw([given.sample for given, _ in batch], answers, executor)
            bar.update(len(batch))


def _crops(chain: Chain, given: Input) -> list[Crop]:
    return [Crop({}, reason=given.refusal)] if given.refusal else chain(given.sample)


def _checked(sample: Sample, result: list[Crop] | Exception) -> list[Crop]:
    """The crops of a picture; where the program failed, print a line and give reason `error`."""
    if isinstance(result, Exception):
        print(files.shown(f"{sample.key}: {result!r}", but=""))
        return [Crop({}, reason="error")]
    return result


class Copies:
    """Annotated copies in a folder; `failed` counts those that could not be made."""

    def __init__(self, folder: Path, normalize: Normalize, landmarks: bool) -> None:
        self._folder = folder
        self._annotate = Annotate(folder, normalize, landmarks)
        self.failed = 0

    def film(self, key: str) -> Path:
        """Where the annotated copy of a video goes."""
        return self._folder / video_name(key)

    def draw(
        self, samples: Sequence[Sample], answers: Sequence[Answer], executor: Executor
    ) -> None:
        """Draw the answers on copies of the pictures that could be read."""
        by_file = {
            file: list(group) for file, group in groupby(answers, key=lambda answer: answer.file)
        }
        tasks = [
            (sample, by_file[sample.key])
            for sample in samples
            if by_file[sample.key][0].reason not in (*UNREADABLE, "error")
        ]
        for (sample, _), failure in executor.map(self._annotate, tasks):
            if isinstance(failure, Exception):
                print(files.shown(f"{sample.key}: no picture drawn ({failure})", but=""))
                self.failed += 1


@dataclass(frozen=True)
class Annotate:
    """Writes a copy of a picture, upright, with boxes and labels on it."""

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
