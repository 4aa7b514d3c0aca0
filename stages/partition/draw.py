"""Draw groups for val or test: counts of each label near its share, few pictures change sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

CANDIDATES = 100  # kinds of groups on each side that are looked at for an exchange


@dataclass
class Group:
    """Pictures that must stay together.

    `counts`: its pictures by label. `side`: where it lies. `may`: the other sides it may be drawn
    for. `lot` orders the draw. `settled`: it was decided in an earlier run. `merged`: its pictures
    lay on several sides in an earlier run; such groups are drawn last.
    """

    counts: Mapping[str, int]
    side: str
    may: Collection[str] = ()
    lot: str = ""
    settled: bool = False
    merged: bool = False


class Draw:
    """Moves groups between train and one other side until counts are near what is wanted."""

    def __init__(self, groups: Sequence[Group], side: str, wanted: Mapping[str, int]) -> None:
        """`groups` are those that may be drawn for `side`; `wanted` are pictures by label."""
        self._side = side
        self._groups = sorted(groups, key=lambda group: (group.merged, group.lot))
        self._missing = Counter(wanted)  # below 0: surplus
        self._train: Counter[str] = Counter()
        self._wanted = wanted
        for group in self._groups:
            if group.side == side:
                self._missing.subtract(group.counts)
            elif group.side == "train":
                self._train.update(group.counts)

    def run(self) -> None:
        """New groups are drawn first. A settled group moves only where that brings each of its
        pictures to a side that lacks it, or where a label would have no picture at all.
        """
        if not any(self._missing.values()):
            return
        new = [group for group in self._groups if not group.settled]
        self._fill(new)
        self._exchange(new)
        self._fill_empty_labels()
        while self._fill(self._groups) or self._drain():
            pass

    def _fill(self, groups: Iterable[Group]) -> bool:
        """Move groups from train that fit wholly into what is lacking; returns whether any
        moved.
        """
        moved = False
        for group in groups:
            fits = all(count <= self._missing[label] for label, count in group.counts.items())
            if group.side == "train" and fits and self._train_keeps_labels_without(group):
                self._move(group)
                moved = True
        return moved

    def _drain(self) -> bool:
        """Move groups to train that fit wholly into a surplus; returns whether any moved."""
        moved = False
        for group in reversed(self._groups):
            fits = all(count <= -self._missing[label] for label, count in group.counts.items())
            if group.side == self._side and fits:
                self._move(group)
                moved = True
        return moved

    def _exchange(self, groups: Sequence[Group]) -> None:
        """Move a group, or exchange two, as long as that brings the counts nearer."""
        while any(self._missing.values()):
            inside = self._kinds(groups, self._side)
            outside = [
                group
                for group in self._kinds(groups, "train")
                if self._train_keeps_labels_without(group)
            ]
            trials: list[tuple[Group, ...]] = [(group,) for group in (*inside, *outside)]
            trials += [(group, other) for group in inside for other in outside]
            best = min(trials, key=self._change, default=())
            if not best or self._change(best) >= 0:
                return
            for group in best:
                self._move(group)

    def _fill_empty_labels(self) -> None:
        """For each label with no picture on this side, move one group that has it, if train keeps a
        picture of each of its labels.
        """
        for label, wanted in sorted(self._wanted.items()):
            if wanted and self._missing[label] == wanted:
                able = [
                    group
                    for group in self._groups
                    if group.side == "train"
                    and label in group.counts
                    and self._train_keeps_labels_without(group)
                ]
                if able:
                    self._move(min(able, key=lambda group: (self._change((group,)), group.settled)))

    def _kinds(self, groups: Iterable[Group], side: str) -> list[Group]:
        """The first group of each kind (equal counts) on a side."""
        kinds: dict[tuple[tuple[str, int], ...], Group] = {}
        for group in groups:
            if group.side == side:
                kinds.setdefault(tuple(sorted(group.counts.items())), group)
                if len(kinds) == CANDIDATES:
                    break
        return list(kinds.values())

    def _train_keeps_labels_without(self, group: Group) -> bool:
        """Whether train keeps a picture of each of the group's labels without it."""
        return all(count < self._train[label] for label, count in group.counts.items())

    def _change(self, groups: Iterable[Group]) -> int:
        """By how many pictures the counts come nearer (below 0) or go away if these groups move."""
        change: Counter[str] = Counter()
        for group in groups:
            sign = 1 if group.side == "train" else -1
            for label, count in group.counts.items():
                change[label] += sign * count
        return sum(
            abs(self._missing[label] - by) - abs(self._missing[label])
            for label, by in change.items()
        )

    def _move(self, group: Group) -> None:
        """Move a group to train or from it, and update the counts."""
        into = group.side == "train"
        group.side = self._side if into else "train"
        for label, count in group.counts.items():
            self._missing[label] -= count if into else -count
            self._train[label] -= count if into else -count
