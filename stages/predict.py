"""Labels for new pictures, by the same stages that cut the training crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tqdm import tqdm

from pipeline import files
from pipeline.context import Context
from pipeline.executors import Executor
from pipeline.sample import Reject, Sample
from pipeline.step import PictureStage
from pipeline.tables import csv_text
from pipeline.trouble import Trouble, Usage
from stages import model_file
from stages.face_crop import FaceCrop
from stages.faces import Faces
from stages.lips import Lips
from stages.normalize import Normalize

if TYPE_CHECKING:
    from torch import nn

CHAIN: dict[str, type] = {
    "normalize": Normalize,
    "faces": Faces,
    "face_crop": FaceCrop,
    "lips": Lips,
}
BATCH = 256  # pictures to one call of the network


@dataclass(frozen=True)
class Chain:
    """From a file to a crop, as the data set's crops were made."""

    stages: tuple[PictureStage, ...]

    @classmethod
    def of(cls, description: model_file.Description) -> Chain:
        """The stages a model was trained behind, with the settings of that time."""
        return cls(
            tuple(
                _known(CHAIN[name], settings)
                for name, settings in description.stages.items()
                if name in CHAIN
            )
        )

    def __call__(self, sample: Sample) -> Sample | str:
        """The sample with its crop as pixels, or the reason why there is none."""
        try:
            for stage in self.stages:
                sample = stage(sample)
        except Reject as reject:
            return reject.reason
        return replace(sample, encoded=None, pixels=sample.image)


@dataclass(frozen=True)
class Answer:
    """What is said of one picture: the share of each label, or the reason why there is none."""

    sample: Sample
    shares: tuple[float, ...] = ()
    reason: str = ""

    def best(self, labels: Sequence[str]) -> tuple[str, float]:
        """The likeliest label and its share."""
        share = max(self.shares)
        return labels[self.shares.index(share)], share


@dataclass(frozen=True)
class Annotate:
    """Draws box and label on a copy of a picture, upright."""

    folder: Path
    labels: Sequence[str]

    def __call__(self, answer: Answer) -> None:
        from pipeline.pictures import encode
        from stages.drawing import annotated

        text = answer.reason
        if answer.shares:
            label, share = answer.best(self.labels)
            text = f"{label} {share:.0%}"
        try:
            picture = Normalize()(Sample(answer.sample.key, "", answer.sample.file)).image
        except Reject:
            return
        drawn = annotated(picture, answer.sample.facts.get("crop"), text)
        files.write(self.folder / files.output_name(answer.sample.key), encode(drawn))


@dataclass(frozen=True)
class Predict:
    """Label a picture or a folder of pictures; writes predictions.csv and annotated copies."""

    after_stages: ClassVar[bool] = False
    writes: ClassVar[bool] = False
    input: Path = Path()
    """A picture, or a folder of pictures of any depth."""
    model: Path = Path()
    """A model's folder or .safetensors file; unset takes the newest in processed/runs/."""
    output: Path = Path()
    """Where to put predictions.csv and the pictures; unset is processed/predictions/."""

    def run(self, context: Context) -> int:
        """Write a row for every picture; 1 where one failed for another reason than its own."""
        samples = list(self._samples())
        network, description = model_file.load(self._model(context))
        output = self.output if self.output != Path() else context.processed / "predictions"
        answers = sorted(
            self._answers(samples, network, description, context.executor),
            key=lambda answer: answer.sample.key,
        )
        files.write(output / "predictions.csv", _table(answers, description.labels))
        annotate = Annotate(output, description.labels)
        failed = sum(answer.reason == "error" for answer in answers)
        for answer, failure in context.executor.map(annotate, answers):
            if isinstance(failure, Exception):
                print(f"{answer.sample.key}: no picture drawn ({failure})")
                failed += 1
        labelled = sum(bool(answer.shares) for answer in answers)
        print(f"predict: {labelled:,} of {len(answers):,} labelled, table and pictures in {output}")
        return int(failed > 0)

    def _answers(
        self,
        samples: Sequence[Sample],
        network: nn.Module,
        description: model_file.Description,
        executor: Executor,
    ) -> Iterator[Answer]:
        """One answer a sample, in any order; the network sees the crops in batches."""
        waiting: list[Sample] = []
        results = executor.map(Chain.of(description), samples)
        for sample, result in tqdm(results, "predict", len(samples), unit=" pictures"):
            if isinstance(result, Sample):
                waiting.append(result)
            elif isinstance(result, str):
                yield Answer(sample, reason=result)
            else:
                print(f"{sample.key}: {result!r}")
                yield Answer(sample, reason="error")
            if len(waiting) == BATCH:
                yield from _labelled(waiting, network, description)
                waiting = []
        yield from _labelled(waiting, network, description)

    def _samples(self) -> Iterator[Sample]:
        if self.input == Path():
            raise Usage("give --input a picture or a folder (make predict INPUT=…)")
        if self.input.is_dir():
            for file in files.find(self.input):
                if file.refusal in ("", "no_label"):
                    yield Sample(file.key, "", Path(file.path))
        elif self.input.is_file():
            yield Sample(self.input.name, "", self.input)
        else:
            raise Usage(f"{self.input}: no such picture or folder")

    def _model(self, context: Context) -> Path:
        if self.model != Path():
            return self.model
        runs = sorted(
            (context.processed / "runs").glob("*/best.json"), key=lambda path: path.stat().st_mtime
        )
        if not runs:
            raise Trouble(f"{context.processed}/runs holds no model: `make train` makes one")
        return runs[-1].parent


def _known(kind: type, settings: dict[str, Any]) -> PictureStage:
    try:
        stage: PictureStage = kind(**settings)
    except (TypeError, ValueError) as error:
        raise Trouble(f"the model's settings do not fit this version: {error}") from error
    return stage


def _labelled(
    samples: Sequence[Sample], network: nn.Module, description: model_file.Description
) -> Iterator[Answer]:
    """Answers for samples that hold their crops as pixels."""
    import torch

    from stages.training.data import stack
    from stages.training.loop import predict

    if samples:
        pictures = stack([sample.image for sample in samples], description.side)
        logits = predict(network, pictures, description.recipe, torch.device("cpu"))
        for sample, shares in zip(samples, logits.softmax(1).tolist(), strict=True):
            yield Answer(replace(sample, pixels=None), tuple(shares))


def _table(answers: Iterable[Answer], labels: Sequence[str]) -> str:
    header = ["file", "label", *(f"p_{label}" for label in labels)]
    header += ["x", "y", "width", "height", "reason"]
    blank = [""] * len(labels)
    rows = (
        [
            answer.sample.key,
            answer.best(labels)[0] if answer.shares else "",
            *([f"{share:.4f}" for share in answer.shares] or blank),
            *answer.sample.facts.get("crop", [""] * 4),
            answer.reason,
        ]
        for answer in answers
    )
    return csv_text(header, rows)
