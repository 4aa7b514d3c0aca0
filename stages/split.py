"""Divide the crops into train, val and test, 9:1 per label, each group of pictures on one side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal

from pipeline.files import digest, output_name
from pipeline.sample import Decision, Sample
from pipeline.step import Packed
from pipeline.store import Place
from pipeline.tables import csv_text
from stages.partition import shards
from stages.partition.draw import Draw, Group
from stages.partition.given import given_sides
from stages.partition.groups import compiled, group_of, read_table, together
from stages.partition.remarks import group_remarks

NOTHING: Mapping[str, str] = MappingProxyType({})
SIDES = frozenset(("val", "test"))  # beside train
HEADER = ("file_name", "label", "split", "source", "face_x", "face_y", "face_w", "face_h", "group")


@dataclass(frozen=True)
class Split:
    """Divide the crops into dataset/train, dataset/val and dataset/test, label by label."""

    version: ClassVar[int] = 3
    needs: ClassVar[frozenset[str]] = frozenset(("face", "given_group", "given_split", "group"))
    tables: ClassVar[tuple[str, ...]] = ("metadata.csv",)
    val: float = 0.1
    """Share of each label that goes to val, rounded down, but at least one picture of a label with
    two or more, if its groups allow it.
    """
    test: float = 0.0
    """Share of each label that goes to test, rounded down, but at least one picture of a label with
    three or more, if its groups allow it.
    """
    group_by: str = ""
    """Regular expression on paths below raw/; pictures with the same first group stay together."""
    groups: Path | None = None
    """CSV file with the columns key,group; pictures of one group stay together."""
    seed: int = 0
    """Another number gives another draw."""
    format: Literal["tree", "webdataset", "both"] = "tree"
    """A file for each picture, shards (dataset/train-000000.tar and so on), or both."""
    shard_size: int = 10_000
    """Pictures in a shard, at most."""

    def __post_init__(self) -> None:
        for name, share in (("val", self.val), ("test", self.test)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must be 0 or more and under 1")
        if self.val + self.test >= 1:
            raise ValueError("val and test together must be under 1: train needs the rest")
        if self.shard_size < shards.SMALLEST:
            raise ValueError(f"shard_size must be {shards.SMALLEST} or more")
        compiled(self.group_by)
        if self.groups is not None:
            read_table(self.groups)

    @property
    def memory(self) -> str:
        """Sides of earlier runs are reused only with the same seed."""
        return f"seed {self.seed}"

    def __call__(
        self, samples: Sequence[Sample], earlier: Mapping[str, str] = NOTHING
    ) -> Iterable[Decision]:
        """Each picture goes to train, val or test, its fact `split`. One of a group gets the fact
        `group`, the first key of the group.

        `earlier` are the sides of earlier runs by key. A group with pictures that came as val or
        test stays there whole; if they came in several splits, the group goes to train. All other
        groups are drawn. A group that came as train is drawn only for a side for which no pictures
        were given.
        """
        members = self._members(samples)
        given = given_sides(samples)
        groups = [self._group(pictures, earlier, SIDES - given) for pictures in members]
        for side, share, least in (("val", self.val, 2), ("test", self.test, 3)):
            able = [group for group in groups if side in group.may]
            counts: Counter[str] = Counter()
            for group in able:
                counts.update(group.counts)
            wanted = {label: _share_of(count, share, least) for label, count in counts.items()}
            Draw(able, side, wanted).run()
        for pictures, group in zip(members, groups, strict=True):
            for sample in pictures:
                shared = {"group": pictures[0].key} if pictures[1:] else {}
                yield Decision(sample.with_facts(**shared, split=group.side), within=group.side)

    def _members(self, samples: Sequence[Sample]) -> list[list[Sample]]:
        """The samples in groups. Pictures that only look alike are no group where they came in
        several of the folders train, val and test: what the user said of them is stronger.
        """
        table = read_table(self.groups) if self.groups else {}
        members: list[list[Sample]] = []
        for pictures in together(samples, self.group_by, table):
            if len(given_sides(pictures)) > 1:
                members += together(pictures, self.group_by, table, near=False)
            else:
                members.append(pictures)
        return members

    def _group(
        self, pictures: Sequence[Sample], earlier: Mapping[str, str], lacking: frozenset[str]
    ) -> Group:
        """The group, on the side where it lies before the draw. `lacking`: sides for which no
        pictures were given.
        """
        given = given_sides(pictures)
        counts = Counter(sample.label for sample in pictures)
        if given & SIDES:
            return Group(counts, given.pop() if len(given) == 1 else "train")
        may = lacking if given else SIDES
        # The lot depends on the first key alone, so that other pictures do not change it.
        lot = digest(f"{self.seed} {pictures[0].key}".encode())
        before = {earlier[sample.key] for sample in pictures if sample.key in earlier}
        side = next(iter(before)) if len(before) == 1 and before <= may else "train"
        return Group(counts, side, may, lot, settled=bool(before), merged=len(before) > 1)

    @property
    def keeps_tree(self) -> bool:
        """Whether each picture has a file in the data set's folder."""
        return self.format != "webdataset"

    def packed(self, folder: Place) -> Packed:
        """The shards that are there, and whether they are all."""
        return shards.packed(folder) if self.format != "tree" else Packed(frozenset(), True)

    def pack(self, folder: Place, decisions: Sequence[Decision]) -> None:
        """Bring the shards up to date."""
        if self.format != "tree":
            samples = (decision.sample for decision in decisions)
            shards.pack(folder, samples, self.shard_size)

    def describe(self, decisions: Sequence[Decision]) -> dict[str, str]:
        """`metadata.csv`: one row a picture, in the order given, paths relative to the data set."""
        rows = (
            (
                f"{decision.within}/{decision.sample.label}/{output_name(decision.sample.key)}",
                decision.sample.label,
                decision.within,
                decision.sample.key,
                *decision.sample.facts.get("face", [""] * 4),
                decision.sample.facts.get("group", ""),
            )
            for decision in decisions
        )
        return {"metadata.csv": csv_text(HEADER, rows)}

    def remarks(self, decisions: Sequence[Decision]) -> list[str]:
        """Lines for a person: what the groups did, and settings that found no picture."""
        lines = group_remarks(decisions)
        keys = [decision.sample.key for decision in decisions]
        expression = compiled(self.group_by)
        if keys and expression and not any(group_of(key, expression) for key in keys):
            lines.append(
                f"--group-by {self.group_by!r} finds nothing in any path, such as {keys[0]}"
            )
        if keys and self.groups and read_table(self.groups).keys().isdisjoint(keys):
            lines.append(
                f"--groups {self.groups} contains none of the pictures' keys, such as {keys[0]}"
            )
        return lines


def _share_of(count: int, share: float, least: int) -> int:
    """A share of so many pictures, rounded down to whole ones; one where there are `least`."""
    return max(int(count * Fraction(str(share))), int(share > 0 and count >= least))
