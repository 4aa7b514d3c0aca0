"""A model's answers for labelled pictures, split by split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline import files, raw
from pipeline.labels import require_clear, split_of
from pipeline.sample import Image, Sample
from stages.face.crop import square
from stages.model.networks import Network
from stages.predict.chain import Chain
from stages.predict.mistakes import Mistake, worst

if TYPE_CHECKING:
    from stages.training.metrics import Metrics

AT_ONCE = 256  # pictures in one call of the network


@dataclass(frozen=True)
class LabelledPicture:
    """A labelled picture of a split; `refusal` is the reason why it must not be opened."""

    sample: Sample
    split: str
    refusal: str = ""


@dataclass(frozen=True)
class CropCutter:
    """Cuts a picture's side×side×3 uint8 crop, or gives the reason why there is none.

    Without a chain the picture is one of the data set's own crops.
    """

    side: int
    chain: Chain | None = None

    def __call__(self, picture: LabelledPicture) -> Image | str:
        from pipeline.pictures import decode

        if picture.refusal:
            return picture.refusal
        if self.chain is None:
            return square(decode(picture.sample.file.read_bytes()), self.side)
        crop = self.chain(picture.sample)[0]
        return crop.reason if crop.image is None else square(crop.image, self.side)


@dataclass
class Judged:
    """Answers of one split: keys, true classes, shares; and keys without an answer, by reason."""

    keys: list[str] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    shares: list[NDArray[np.float32]] = field(default_factory=list)
    unanswered: dict[str, list[str]] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def add(self, batch: Sequence[tuple[Sample, Image]], network: Network) -> None:
        """Answer some crops; of the mistakes only the worst so far are kept."""
        labels = network.description.labels
        answers = network(np.stack([crop for _, crop in batch]))
        for (sample, crop), shares in zip(batch, answers, strict=True):
            true, predicted = labels.index(sample.label), int(shares.argmax())
            self.keys.append(sample.key)
            self.classes.append(true)
            self.shares.append(shares)
            if predicted != true:
                share = float(shares[predicted])
                self.mistakes.append(Mistake(sample.key, true, predicted, share, crop))
        self.mistakes = worst(self.mistakes)

    def metrics(self, labels: Sequence[str]) -> Metrics:
        """The trainer's metrics of these answers; there must be one."""
        import torch

        from stages.training.metrics import measure

        shares = np.maximum(np.stack(self.shares), np.finfo(np.float32).tiny)
        return measure(torch.from_numpy(np.log(shares)), torch.tensor(self.classes), labels)


def in_folder(folder: Path, follow_links: bool = False) -> list[LabelledPicture]:
    """The pictures below a folder: a folder for each label, or such folders in train, val and test.

    Of a divided set, train is left out where there is more. Raises Usage where labels and splits
    cannot be told apart.
    """
    listing = raw.find(folder, follow_links)
    require_clear(listing.keys(), folder)
    for line in listing.remarks():
        print(files.shown(line))
    found = [
        LabelledPicture(
            Sample(file.key, file.label, Path(file.path)), split_of(file.key), file.refusal
        )
        for file in listing.files
    ]
    splits = {picture.split for picture in found if picture.split}
    wanted = splits - {"train"} or splits or {""}
    return [
        replace(picture, split=picture.split or "all")
        for picture in found
        if picture.split in wanted
    ]


def judge(
    results: Iterable[tuple[LabelledPicture, Image | str | Exception]], network: Network
) -> dict[str, Judged]:
    """The answers of each split. What failed has the reason "error", and a line is printed."""
    judged: dict[str, Judged] = {}
    waiting: dict[str, list[tuple[Sample, Image]]] = {}
    for picture, result in results:
        key, of_split = picture.sample.key, judged.setdefault(picture.split, Judged())
        if isinstance(result, Exception):
            print(files.shown(f"{key}: {result!r}", but=""))
            result = "error"
        if isinstance(result, str):
            of_split.unanswered.setdefault(result, []).append(key)
            continue
        batch = waiting.setdefault(picture.split, [])
        batch.append((picture.sample, result))
        if len(batch) == AT_ONCE:
            of_split.add(waiting.pop(picture.split), network)
    for split, batch in waiting.items():
        judged[split].add(batch, network)
    return dict(sorted(judged.items()))
