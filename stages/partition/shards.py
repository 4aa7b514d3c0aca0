"""The data set as WebDataset shards: tars of some thousand pictures each.

A shard depends on its pictures alone, to the byte: members are sorted, times and owners are fixed.
"""

from __future__ import annotations

import io
import json
import math
import os
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import files
from pipeline.ledger import as_json
from pipeline.progress import progress
from pipeline.sample import Sample
from pipeline.step import Packed
from pipeline.store import Place
from stages.partition.given import side_of

Lots = NDArray[np.uint64]

INDEX = "shards.json"
SMALLEST = 100  # pictures; with fewer, some of the shards would be empty
LAYOUT = 1  # raise it when the same pictures give other bytes


class Shard(NamedTuple):
    """One shard, as the index names it. `content` is a digest of all that is in it."""

    name: str
    pictures: int
    bytes: int
    content: str


@dataclass(frozen=True)
class Index:
    """What `shards.json` says: the labels in the order of their classes, and the shards by name."""

    labels: Sequence[str]
    shards: Mapping[str, Shard]

    def of(self, side: str) -> list[Shard]:
        """The shards of train, val or test."""
        return [shard for name, shard in self.shards.items() if name.startswith(f"{side}-")]


class ShardMember(NamedTuple):
    """A picture in a shard: its JPEG, its class and, as JSON, its key, label and group."""

    stem: str
    digest: str
    target: int
    about: str
    file: Place


def read_index(folder: Place) -> Index:
    """The index of the shards in a folder; an empty one where it is missing or damaged."""
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        shards = [Shard(**shard) for shard in content["shards"]]
        return Index(content["labels"], {shard.name: shard for shard in shards})
    except (OSError, ValueError, KeyError, TypeError):
        return Index([], {})


def packed(folder: Place) -> Packed:
    """The shards of the index that have their size, and whether they are all."""
    shards = read_index(folder).shards.values()
    there = {shard.name for shard in shards if _is_there(folder, shard)}
    return Packed(frozenset({INDEX, *there}), len(there) == len(shards) > 0)


def pack(folder: Place, samples: Iterable[Sample], largest: int) -> None:
    """Write the samples as shards of at most `largest` pictures. Shards that would be the same are
    left as they are; those that hold other pictures are replaced or deleted.

    The index never names a shard that is not whole: before shards change, it is written without
    them.
    """
    wanted = _shared_out(samples, largest)
    labels = sorted({sample.label for members in wanted.values() for sample in members})
    contents = {name: _content(_entries(members, labels)) for name, members in wanted.items()}
    before = read_index(folder).shards
    right = {
        name: shard
        for name, shard in before.items()
        if shard.content == contents.get(name) and _is_there(folder, shard)
    }
    _write_index(folder, labels, right)
    for name in before.keys() - wanted.keys():
        (folder / name).unlink(missing_ok=True)
    missing = sorted(wanted.keys() - right.keys())
    with ThreadPoolExecutor() as pool:
        sizes = pool.map(
            lambda name: _write(folder / name, _entries(wanted[name], labels)), missing
        )
        bar = progress(sizes, desc="shards", unit=" shards", total=len(missing))
        for name, size in zip(missing, bar, strict=True):
            right[name] = Shard(name, len(wanted[name]), size, contents[name])
    os.sync()
    _write_index(folder, labels, right)


def lots(keys: Iterable[str]) -> Lots:
    """64 bits of each key's digest."""
    return np.array([int(files.digest(key.encode())[:16], 16) for key in keys], np.uint64)


def numbers(drawn: Lots, largest: int) -> Lots:
    """The number of the shard of each key, from 0, by the keys' lots; at most `largest` share one.

    It is the first bits of the lot, as many as are needed. So other keys do not change it, until
    there are so many that every shard is divided in two.
    """
    bits = max(0, math.ceil(math.log2(max(1, len(drawn)) / largest)))
    while True:
        found = drawn >> np.uint64(64 - bits) if bits else np.zeros_like(drawn)
        if np.unique(found, return_counts=True)[1].max(initial=0) <= largest:
            return found
        bits += 1


def _shared_out(samples: Iterable[Sample], largest: int) -> dict[str, list[Sample]]:
    """The pictures of each shard by its name, in the order of their lots: labels are mixed."""
    sides: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.key):
        sides[side_of(sample.facts)].append(sample)
    shards: dict[str, list[Sample]] = defaultdict(list)
    for side, members in sides.items():
        drawn = lots(sample.key for sample in members)
        number = numbers(drawn, largest)
        for place in np.argsort(drawn, kind="stable"):
            shards[f"{side}-{number[place]:06}.tar"].append(members[place])
    return shards


def _entries(samples: Iterable[Sample], labels: Sequence[str]) -> Iterator[ShardMember]:
    """The pictures of a shard; made when they are needed, since a set may have millions."""
    for sample in samples:
        about = {"key": sample.key, "label": sample.label}
        if group := sample.facts.get("group"):
            about["group"] = group
        stem = f"{sample.label}/{files.output_name(sample.key).removesuffix('.jpg')}"
        target = labels.index(sample.label)
        yield ShardMember(stem, sample.digest, target, as_json(about), sample.file)


def _content(entries: Iterable[ShardMember]) -> str:
    """A digest of what a shard of these pictures holds. No picture is read for it."""
    return files.digest(as_json([LAYOUT, [entry[:-1] for entry in entries]]).encode())


def _write(path: Place, entries: Iterable[ShardMember]) -> int:
    """Write a shard; returns its size in bytes."""
    with files.replacing(path) as beside:
        with tarfile.open(beside, "w", format=tarfile.PAX_FORMAT) as tar:
            for entry in entries:
                _add(tar, f"{entry.stem}.jpg", entry.file.read_bytes())
                _add(tar, f"{entry.stem}.cls", str(entry.target).encode())
                _add(tar, f"{entry.stem}.json", entry.about.encode())
        return beside.stat().st_size


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # time 0, owner 0, mode 644
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _write_index(folder: Place, labels: Sequence[str], shards: Mapping[str, Shard]) -> None:
    content = {"labels": labels, "shards": [shards[name]._asdict() for name in sorted(shards)]}
    files.write(folder / INDEX, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _is_there(folder: Place, shard: Shard) -> bool:
    path = folder / shard.name
    return path.is_file() and path.stat().st_size == shard.bytes
