"""How sure one can be of a share of right answers. Imports no torch."""

from __future__ import annotations

import math
from statistics import NormalDist

Z = NormalDist().inv_cdf(0.975)  # of a 95% interval
WIDE = 0.1  # an interval as wide as this is told wherever its accuracy is


def wilson(right: int, count: int) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927): honest for few answers and for shares near 1."""
    share, z2 = right / count, Z * Z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def if_wide(accuracy: float, count: int) -> str:
    """What to add to an accuracy whose interval is wide; nothing where it is not.

    >>> if_wide(1, 10), if_wide(0.97, 1000)
    ('; of only 10 pictures: 95% interval 72.2% to 100.0%', '')
    """
    low, high = wilson(round(accuracy * count), count)
    if high - low < WIDE:
        return ""
    return f"; of only {count:,} pictures: 95% interval {low:.1%} to {high:.1%}"
