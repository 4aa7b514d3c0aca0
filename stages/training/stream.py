"""Training pictures that come from shards: each process reads its own, some thousand at a time."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from pipeline import files
from pipeline.pictures import decode
from pipeline.store import Place
from pipeline.trouble import Trouble, Usage
from stages.face.crop import square
from stages.partition.shards import Shard
from stages.training.batches import Batch, BatchSource, Prefetch, label_weights
from stages.training.data import Crops
from stages.training.distributed import ONE_PROCESS, World
from stages.training.recipes import Recipe


@dataclass(frozen=True)
class Stream:
    """The shards to train on, in `folder`.

    `counts` are their pictures by class. Of `window` pictures at a time, decoded to side×side
    pixels, batches are drawn.
    """

    folder: Place
    shards: Sequence[Shard]
    counts: Sequence[int]
    side: int
    window: int

    def __len__(self) -> int:
        return sum(shard.pictures for shard in self.shards)

    def some(self, count: int) -> Tensor:
        """The first pictures, N×3×S×S uint8."""
        return self.decoded(list(islice(self.read(range(len(self.shards)), 0), count)))[0]

    def read(self, order: Sequence[int], start: int) -> Iterator[tuple[bytes, int]]:
        """JPEGs and classes from the picture at the place `start` on, shards in the order given.

        Raises Trouble where a shard is damaged.
        """
        for number in order:
            shard = self.shards[number]
            if start < shard.pictures:
                yield from _pictures(self.folder / shard.name, start, shard.pictures)
            start = max(0, start - shard.pictures)

    def decoded(self, pictures: Sequence[tuple[bytes, int]]) -> tuple[Tensor, Tensor]:
        """N×3×S×S uint8 pictures, channels last as those of Crops, and N int64 classes."""
        values = np.empty((len(pictures), self.side, self.side, 3), np.uint8)

        def put(place: int) -> None:
            values[place] = square(decode(pictures[place][0]), self.side)

        with ThreadPoolExecutor() as pool:
            list(pool.map(put, range(len(pictures))))
        classes = torch.tensor([target for _, target in pictures])
        return torch.from_numpy(values).permute(0, 3, 1, 2), classes


def _pictures(path: Place, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """JPEGs and classes at some places of a shard; its members are .jpg, .cls, .json in turn."""
    try:
        with (
            files.local_copy(path) as copy,
            open(copy, "rb") as file,
            tarfile.open(fileobj=file, mode="r:") as tar,
        ):
            members = iter(tar)
            place = -1
            for place, (jpeg, target, _) in enumerate(zip(members, members, members, strict=False)):
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if start <= place:
                    file.seek(jpeg.offset_data)
                    data = file.read(jpeg.size)
                    file.seek(target.offset_data)
                    yield data, int(file.read(target.size))
            if place + 1 != end:
                raise ValueError(f"{place + 1:,} pictures, not {end:,}")
    except (OSError, tarfile.TarError, ValueError) as error:
        raise Trouble(
            f"{path} cannot be read ({error}): delete it and run the same command again, which "
            "writes it anew"
        ) from error


@dataclass(frozen=True)
class StreamedBatches:
    """Batches from shards, as Prefetch gives those of crops.

    All shards are in a row, drawn anew for each epoch. Each process takes an equal part of the row
    and reads it from one end to the other, in windows of pictures that are shuffled. So the
    processes read different shards, all but the two at a part's ends, and come to the same number
    of batches. An epoch leaves out what would not fill the last batch; each epoch others.
    """

    stream: Stream
    source: BatchSource  # of no pictures; for the labels' weights and the device
    recipe: Recipe
    rng: torch.Generator
    world: World

    def epoch(self) -> tuple[int, Iterator[Batch]]:
        """How many batches an epoch has, and the batches."""
        size = self.recipe.batch // self.world.size  # of this process's part of a batch
        count = len(self.stream) // (size * self.world.size)
        seed = int(torch.randint(1 << 62, (1,), generator=self.rng))
        return count, self._batches(size, count * size, seed)

    def _batches(self, size: int, pictures: int, seed: int) -> Iterator[Batch]:
        """Batches of `size` of this process's so many pictures."""
        own = torch.Generator().manual_seed(seed + 1 + self.world.rank)
        recipe = replace(self.recipe, batch=size)
        with ThreadPoolExecutor(1) as ahead:
            for values, classes in self._windows(size, pictures, seed, ahead):
                source = replace(self.source, pictures=values, classes=classes)
                _, batches = Prefetch(source, recipe, own, ONE_PROCESS).epoch()
                for batch in batches:
                    yield batch._replace(whole=size * self.world.size)

    def _windows(
        self, size: int, pictures: int, seed: int, ahead: ThreadPoolExecutor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Decoded pictures, a window at a time. The next is decoded while one is trained on."""
        rng = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.stream.shards), generator=rng).tolist()
        start = self.world.rank * pictures
        row = islice(self.stream.read(order, start), pictures)
        window = max(1, self.stream.window // size) * size

        def load() -> tuple[Tensor, Tensor]:
            return self.stream.decoded(list(islice(row, window)))

        following = ahead.submit(load)
        for _ in range(-(-pictures // window)):
            values = following.result()
            following = ahead.submit(load)
            yield values


TrainingSet = Crops | Stream
Batches = Prefetch | StreamedBatches


def batches_of(
    train: TrainingSet,
    labels: int,
    recipe: Recipe,
    device: torch.device,
    rng: torch.Generator,
    world: World,
) -> Batches:
    """What an epoch's batches come from.

    Raises Usage where a stream's batch is smaller than the processes or larger than the set.
    """
    if isinstance(train, Crops):
        return Prefetch(BatchSource.of(train, labels, device), recipe, rng, world)
    if not world.size <= recipe.batch <= len(train):
        raise Usage(
            f"--batch must be {world.size} (the processes) to {len(train):,} (the pictures) with "
            "--stream"
        )
    weights = label_weights(torch.tensor(train.counts))
    source = BatchSource(torch.empty(0), torch.empty(0), weights, device)
    return StreamedBatches(train, source, recipe, rng, world)
