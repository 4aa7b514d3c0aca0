"""Divide the crops into train, val and test, 9:1 per label, each group of pictures on one side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from pipeline.files import digest, output_name
from pipeline.labels import split_of
from pipeline.sample import Decision, Sample
from pipeline.tables import csv_text
from stages.partition.draw import Draw, Group
from stages.partition.groups import compiled, group_of, read_table, together

NOTHING: Mapping[str, str] = MappingProxyType({})
HEADER = ("file_name", "label", "split", "source", "face_x", "face_y", "face_w", "face_h", "group")


@dataclass(frozen=True)
class Split:
    """Divide the crops into dataset/train, dataset/val and dataset/test, label by label."""

    version: ClassVar[int] = 2
    tables: ClassVar[tuple[str, ...]] = ("metadata.csv",)
    val: float = 0.1
    """Share of each label that goes to val, rounded down; a label of two or more has one there."""
    test: float = 0.0
    """Share of each label that goes to test, rounded down; a label of three or more has one."""
    group_by: str = ""
    """Regular expression on paths below raw/; pictures with the same first group stay together."""
    groups: Path | None = None
    """CSV file with the columns key,group; pictures of one group stay together."""
    seed: int = 0
    """Another number gives another draw."""

    def __post_init__(self) -> None:
        if not 0 <= self.val < 1 or not 0 <= self.test < 1:
            raise ValueError("val and test must be 0 or more and under 1")
        if self.val + self.test >= 1:
            raise ValueError("val and test together must be under 1: train needs the rest")
        compiled(self.group_by)
        if self.groups is not None:
            read_table(self.groups)

    @property
    def memory(self) -> str:
        """Earlier sides count as long as the seed is the same."""
        return f"seed {self.seed}"

    def __call__(
        self, samples: Sequence[Sample], earlier: Mapping[str, str] = NOTHING
    ) -> Iterable[Decision]:
        """Each picture goes to the folder train, val or test; one of a group gets the fact `group`,
        the first key of the group.

        `earlier` are the sides of earlier runs by key. Pictures that came as val or test stay
        there, unless a picture of their group lies elsewhere: then the group goes to train. The
        parts that did not come are drawn from the others.
        """
        table = read_table(self.groups) if self.groups else {}
        members = together(samples, self.group_by, table)
        given = {split_of(sample.key) for sample in samples}
        drawn = {side for side in ("val", "test") if side not in given}
        sides = [self._group(pictures, earlier, drawn) for pictures in members]
        open_groups = [group for group in sides if group.lot]
        counts: Counter[str] = Counter()
        for group in open_groups:
            counts.update(group.counts)
        for side, share, least in (("val", self.val, 2), ("test", self.test, 3)):
            if side in drawn:
                wanted = {label: _part(count, share, least) for label, count in counts.items()}
                Draw(open_groups, side, wanted).run()
        for pictures, group in zip(members, sides, strict=True):
            for sample in pictures:
                grouped = sample.with_facts(group=pictures[0].key) if pictures[1:] else sample
                yield Decision(grouped, within=group.side)

    def _group(
        self, pictures: Sequence[Sample], earlier: Mapping[str, str], drawn: set[str]
    ) -> Group:
        """The group of some pictures where it lies before the draw; without a lot if it stays."""
        given = {split_of(sample.key) for sample in pictures}
        counts = Counter(sample.label for sample in pictures)
        if given & {"val", "test"}:
            return Group(counts, "", given.pop() if len(given) == 1 else "train")
        # The lot depends on the first key alone, so that other pictures do not change it.
        lot = digest(f"{self.seed} {pictures[0].key}".encode())
        before = {earlier[sample.key] for sample in pictures if sample.key in earlier}
        stays = len(before) == 1 and before <= drawn
        side = next(iter(before)) if stays else "train"
        return Group(counts, lot, side, settled=bool(before), merged=len(before) > 1)

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
        groups = Counter(decision.sample.facts.get("group", "") for decision in decisions)
        sizes = sorted(size for name, size in groups.items() if name and size > 1)
        lines = []
        if sizes:
            span = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
            lines.append(f"{len(sizes):,} groups of {span} pictures stay on one side each")
        moved = sum(split_of(one.sample.key) not in ("", "train", one.within) for one in decisions)
        if moved:
            lines.append(
                f"{moved:,} pictures that came as val or test went to train: others of their "
                "groups lie elsewhere"
            )
        return lines + self._idle_settings([decision.sample.key for decision in decisions])

    def _idle_settings(self, keys: Sequence[str]) -> list[str]:
        """Lines on settings that group no picture at all."""
        expression, lines = compiled(self.group_by), []
        if keys and expression and not any(group_of(key, expression) for key in keys):
            lines.append(
                f"--group-by {self.group_by!r} finds nothing in any path, such as {keys[0]}"
            )
        if keys and self.groups and read_table(self.groups).keys().isdisjoint(keys):
            lines.append(f"--groups {self.groups} has no picture's key, such as {keys[0]}")
        return lines


def _part(count: int, share: float, least: int) -> int:
    """A share of so many pictures, rounded down to whole ones; one where there are `least`."""
    return max(int(count * Fraction(str(share))), int(share > 0 and count >= least))
