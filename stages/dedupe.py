"""Drop copies: of the same pixels and of nearly the same picture. Near pictures get one group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Literal

from pipeline.files import short_digest
from pipeline.sample import Decision, Reject, Sample
from stages.likeness import ranking


@dataclass(frozen=True)
class Dedupe:
    """Keep the best of each set of copies; put similar pictures that are not copies in a group."""

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset(
        ("by_hand", "bytes", "content", "given_split", "hashes", "height", "width")
    )
    near: Literal["auto", "drop", "group"] = "auto"
    """Drop near copies, or keep them in one group; auto drops, but groups small pictures."""
    small: int = 128
    """Pixels; auto groups two near pictures where the short sides of both are under this."""
    max_distance: int = 22
    """Bits of 256; pictures whose hashes differ by no more are copies."""
    max_group_distance: int = 36
    """Bits of 256; pictures whose hashes differ by no more are one group."""
    prefer: str | None = None
    """The label that keeps a picture filed under several; without it all copies of that picture are
    rejected.
    """

    def __post_init__(self) -> None:
        if not 0 <= self.max_distance <= self.max_group_distance <= 128:
            raise ValueError("0 ≤ max_distance ≤ max_group_distance ≤ 128 must hold")

    def __call__(self, samples: Sequence[Sample]) -> Iterable[Decision]:
        """Decide by the facts `content` and `hashes` of `normalize`; pixels are compared only for
        near pictures under different labels.

        Rejects with `duplicate` (`of`: the key kept, `distance` in bits, `kind`: exact or near) and
        `conflicting_label` (`of`: the keys under other labels); kept pictures may get `group`.
        """
        from stages.likeness import clusters, pairs

        classes = ranking.same_pixels(samples)
        best = [members[0] for members in classes]
        near = pairs.near([sample.facts for sample in best], self.max_group_distance)
        leaders = clusters.leaders(
            len(best),
            [pair for pair in near if pair.distance <= self.max_distance],
            lambda better, worse: self._is_copy(best[better], best[worse]),
        )
        copies: dict[int, list[Sample]] = {}
        for members, leader in zip(classes, leaders, strict=True):
            copies.setdefault(leader, []).extend(members)
        groups = clusters.components(len(best), near)
        decided: dict[int, list[Decision]] = {}
        for leader, cluster in copies.items():
            decided.setdefault(groups[leader], []).extend(self._settle(cluster))
        decisions = chain.from_iterable(map(_with_group, decided.values()))
        return sorted(decisions, key=lambda decision: decision.sample.key)

    def remarks(self, decisions: Sequence[Decision]) -> Iterator[str]:
        """Sentences about what was done that the counts do not show."""
        groups = Counter(
            decision.sample.facts["group"]
            for decision in decisions
            if decision.reject is None and "group" in decision.sample.facts
        )
        if groups:
            yield (
                f"{groups.total():,} pictures are near others but kept; the split keeps each group "
                f"on one side (groups: {len(groups):,})"
            )
        refused = [(made.sample.key, made.reject) for made in decisions if made.reject]
        splits = {
            decision.sample.key: ranking.split_given(decision.sample) for decision in decisions
        }
        crossing = sum(
            reject.reason == "duplicate" and splits[key] != splits[str(reject.measured["of"])]
            for key, reject in refused
        )
        if crossing:
            yield (
                f"copies that lay in another of your train, val and test folders: {crossing:,}; "
                "test keeps its picture before val, and val before train"
            )
        if any(reject.reason == "conflicting_label" for _, reject in refused) and not self.prefer:
            yield (
                "pictures filed under several labels are rejected unless kept by hand: "
                "--prefer LABEL keeps one"
            )

    def _is_copy(self, better: Sample, worse: Sample) -> bool:
        """Whether a near picture counts as a copy; under another label only beyond doubt."""
        small = max(_short_side(better), _short_side(worse)) < self.small
        if self.near == "group" or (self.near == "auto" and small):
            return False
        return better.label == worse.label or _show_the_same(better, worse)

    def _settle(self, copies: Sequence[Sample]) -> Iterator[Decision]:
        """Decisions on copies of one picture, given with the best first."""
        by_hand = [sample for sample in copies if "by_hand" in sample.facts]
        if by_hand:
            yield from _settle_by_hand(by_hand, copies)
            return
        labels = {sample.label for sample in copies}
        if len(labels) > 1 and self.prefer not in labels:
            for sample in copies:
                others = [other.key for other in copies if other.label != sample.label]
                yield Decision(sample, Reject("conflicting_label", of=sorted(others)))
            return
        label = copies[0].label if len(labels) == 1 else self.prefer
        kept = next(sample for sample in copies if sample.label == label)
        for sample in copies:
            if sample is kept:
                yield Decision(sample)
            elif sample.label == label:
                yield Decision(sample, _duplicate(sample, kept))
            else:
                yield Decision(sample, Reject("conflicting_label", of=[kept.key]))


def _settle_by_hand(by_hand: Sequence[Sample], copies: Sequence[Sample]) -> Iterator[Decision]:
    """Decisions where a person kept some of the copies: the others give way to them."""
    kept = by_hand[0]
    for sample in copies:
        if sample in by_hand:
            yield Decision(sample)
        elif sample.label == kept.label:
            yield Decision(sample, _duplicate(sample, kept))
        else:
            yield Decision(sample, Reject("conflicting_label", of=[kept.key]))


def _short_side(sample: Sample) -> int:
    return int(min(sample.facts["width"], sample.facts["height"]))


def _show_the_same(one: Sample, other: Sample) -> bool:
    from pipeline.pictures import decode
    from stages.likeness.parts import is_same

    return is_same(*(decode(sample.file.read_bytes()) for sample in (one, other)))


def _duplicate(copy: Sample, kept: Sample) -> Reject:
    from stages.likeness.pairs import distance

    kind = "exact" if copy.facts["content"] == kept.facts["content"] else "near"
    bits = distance(copy.facts, kept.facts)
    return Reject("duplicate", of=kept.key, distance=bits, kind=kind)


def _with_group(decisions: Sequence[Decision]) -> Iterator[Decision]:
    """Decisions on pictures that are near each other; the kept ones get a common group
    name where there are several.
    """
    kept = [decision.sample.key for decision in decisions if decision.reject is None]
    for decision in decisions:
        if decision.reject is None and len(kept) > 1:
            yield Decision(decision.sample.with_facts(group=short_digest(min(kept))))
        else:
            yield decision
