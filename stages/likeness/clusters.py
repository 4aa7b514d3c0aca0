"""Which pictures are copies of which, and which are near enough to stay together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pipeline.union_find import UnionFind
from stages.likeness.pairs import Pair


def leaders(count: int, pairs: Sequence[Pair], is_copy: Callable[[int, int], bool]) -> list[int]:
    """The leader of each of `count` pictures, which come with the best first; leaders lead
    themselves.

    A picture joins the nearest leader that it is a copy of, or leads. So it is compared with the
    picture that is kept, never through a third.
    """
    near: dict[int, list[Pair]] = {}
    for pair in pairs:
        near.setdefault(pair.worse, []).append(pair)
    found: list[int] = []
    for place in range(count):
        choices = sorted(near.get(place, []), key=lambda pair: (pair.distance, pair.better))
        found.append(
            next(
                (
                    pair.better
                    for pair in choices
                    if found[pair.better] == pair.better and is_copy(pair.better, place)
                ),
                place,
            )
        )
    return found


def components(count: int, pairs: Iterable[Pair]) -> list[int]:
    """A number for each of `count` pictures, the same for all that pairs link in any way."""
    linked = UnionFind[int]()
    for pair in pairs:
        linked.join((pair.better, pair.worse))
    return [linked.first(place) for place in range(count)]
