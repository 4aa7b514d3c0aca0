"""What a model says of labelled pictures, split by split."""

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

BATCH = 256  # pictures to one call of the network


@dataclass(frozen=True)
class Asked:
    """A labelled picture of a split; `refusal` is the reason why it must not be opened."""

    sample: Sample
    split: str
    refusal: str = ""


@dataclass(frozen=True)
class Cut:
    """A picture's side×side crop, or the reason why there is none.

    Without a chain the picture is one of the data set's own crops.
    """

    side: int
    chain: Chain | None = None

    def __call__(self, asked: Asked) -> Image | str:
        from pipeline.pictures import decode

        if asked.refusal:
            return asked.refusal
        if self.chain is None:
            return square(decode(asked.sample.file.read_bytes()), self.side)
        crop = self.chain(asked.sample)[0]
        return crop.reason if crop.image is None else square(crop.image, self.side)


@dataclass
class Judged:
    """Keys, true places and shares of the answered pictures; keys of the others by reason."""

    keys: list[str] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    shares: list[NDArray[np.float32]] = field(default_factory=list)
    unanswered: dict[str, list[str]] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def add(self, batch: Sequence[tuple[Sample, Image]], network: Network) -> None:
        """Answers for some crops; of the mistakes, the worst so far are kept."""
        labels = network.description.labels
        answers = network(np.stack([crop for _, crop in batch]))
        for (sample, crop), shares in zip(batch, answers, strict=True):
            true, said = labels.index(sample.label), int(shares.argmax())
            self.keys.append(sample.key)
            self.classes.append(true)
            self.shares.append(shares)
            if said != true:
                share = float(shares[said])
                self.mistakes.append(Mistake(sample.key, true, said, share, crop))
        self.mistakes = worst(self.mistakes)

    def metrics(self, labels: Sequence[str]) -> Metrics:
        """As the trainer's; there must be an answer."""
        import torch

        from stages.training.metrics import measure

        shares = np.maximum(np.stack(self.shares), np.finfo(np.float32).tiny)
        return measure(torch.from_numpy(np.log(shares)), torch.tensor(self.classes), labels)


def in_folder(folder: Path, follow_links: bool = False) -> list[Asked]:
    """The pictures below a folder: a folder a label, or such folders in train, val and test.

    Of a divided set, train is left out where there is more. Raises Usage where labels and splits
    cannot be told apart.
    """
    listing = raw.find(folder, follow_links)
    require_clear(listing.keys(), folder)
    for line in listing.remarks():
        print(files.shown(line))
    found = [
        Asked(Sample(one.key, one.label, Path(one.path)), split_of(one.key), one.refusal)
        for one in listing.files
    ]
    splits = {one.split for one in found if one.split}
    wanted = splits - {"train"} or splits or {""}
    return [replace(one, split=one.split or "all") for one in found if one.split in wanted]


def judge(
    results: Iterable[tuple[Asked, Image | str | Exception]], network: Network
) -> dict[str, Judged]:
    """Everything of each split; what failed has the reason "error", and a line is printed."""
    judged: dict[str, Judged] = {}
    waiting: dict[str, list[tuple[Sample, Image]]] = {}
    for asked, result in results:
        of_split = judged.setdefault(asked.split, Judged())
        if isinstance(result, Exception):
            print(files.shown(f"{asked.sample.key}: {result!r}", but=""))
            result = "error"
        if isinstance(result, str):
            of_split.unanswered.setdefault(result, []).append(asked.sample.key)
            continue
        batch = waiting.setdefault(asked.split, [])
        batch.append((asked.sample, result))
        if len(batch) == BATCH:
            of_split.add(waiting.pop(asked.split), network)
    for split, batch in waiting.items():
        judged[split].add(batch, network)
    return dict(sorted(judged.items()))
