"""Networks by name."""

from __future__ import annotations

from torch import nn


def simpleconv3(labels: int) -> nn.Sequential:
    """The published small network: logits N×labels from N×3×48×48 in [−1, 1].

    Three 3×3 convolutions of stride 2 without padding (48 → 23 → 11 → 5 pixels), each with batch
    norm and ReLU, then 1200 → 1200 → 128 → labels.
    """
    layers: list[nn.Module] = []
    for before, after in ((3, 12), (12, 24), (24, 48)):
        layers += [nn.Conv2d(before, after, 3, stride=2), nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(48 * 5 * 5, 1200), nn.ReLU()]
    layers += [nn.Linear(1200, 128), nn.ReLU(), nn.Linear(128, labels)]
    return nn.Sequential(*layers)


MODELS = {"simpleconv3": simpleconv3}


def build(name: str, labels: int) -> nn.Module:
    """A network with fresh weights (drawn from torch's global generator)."""
    return MODELS[name](labels)
