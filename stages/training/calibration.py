"""How far a network's logits are to be flattened, so that its shares are what they say."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

SPREAD = 0.3  # of the temperature's logarithm, as expected before any picture is seen
LIMIT = math.log(5)  # the logarithm is sought up to this, either way


def temperature_of(logits: Tensor, classes: Tensor) -> float:
    """The T for which softmax(logits / T) fits the classes best (Guo et al. 2017).

    `logits` are N×L float32 of pictures that chose nothing of the network, `classes` N int64. Few
    pictures tell little of T, so it stays near 1 then: its logarithm is taken to be normal, with a
    standard deviation of SPREAD.
    """

    def cost(logarithm: float) -> float:
        loss = F.cross_entropy(logits / math.exp(logarithm), classes, reduction="sum").item()
        return loss + (logarithm / SPREAD) ** 2 / 2

    low, high = -LIMIT, LIMIT
    while high - low > 1e-3:  # the cost has one valley: leave out a third on its higher side
        third = (high - low) / 3
        if cost(low + third) < cost(high - third):
            high -= third
        else:
            low += third
    return math.exp((low + high) / 2)
