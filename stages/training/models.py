"""Networks by name: our own, and all of torchvision's with a head for our labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.settings import near_misses
from pipeline.trouble import Usage
from stages.training.backbone import load_backbone, pretrained
from stages.training.heads import freeze, replace_head
from stages.training.recipes import Recipe


def simpleconv3(labels: int) -> nn.Sequential:
    """The published small network: logits N×labels from N×3×48×48.

    Three 3×3 convolutions of stride 2 without padding (48 → 23 → 11 → 5 pixels), each with batch
    norm and ReLU, then 1200 → 1200 → 128 → labels.
    """
    layers: list[nn.Module] = []
    for before, after in ((3, 12), (12, 24), (24, 48)):
        layers += [nn.Conv2d(before, after, 3, stride=2), nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(48 * 5 * 5, 1200), nn.ReLU()]
    layers += [nn.Linear(1200, 128), nn.ReLU(), nn.Linear(128, labels)]
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """x + layers(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.layers(x))


def residual_network(
    labels: int,
    first: int,
    stages: Sequence[tuple[int, int]],
    pool: type[nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d] = nn.AdaptiveAvgPool2d,
    dropout: float = 0.2,
    stride: int = 1,
    grid: int = 1,
) -> nn.Sequential:
    """A residual network for small pictures: logits N×labels from N×3×S×S, S ≥ 16.

    A 3×3 convolution of `stride` makes `first` channels. Each stage then halves the picture, with
    so many channels and so many residual blocks of two convolutions. Of each channel `pool` makes
    grid×grid values for the last layer.
    """

    def block(before: int, after: int, stride: int = 1) -> nn.Sequential:
        convolution = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())

    layers: list[nn.Module] = [block(3, first, stride)]
    before = first
    for channels, blocks in stages:
        layers.append(block(before, channels, 2))
        layers += [
            Residual(block(channels, channels), block(channels, channels)) for _ in range(blocks)
        ]
        before = channels
    layers += [pool(grid), nn.Flatten(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(before * grid**2, labels))


def resnet8(labels: int) -> nn.Sequential:
    """Halves the picture at once, so it is fast, and answers by what it sees in each ninth of it:
    faces and mouths lie in the middle of their crops. 120,000 weights.
    """
    return residual_network(labels, 16, ((32, 1), (64, 1)), stride=2, grid=3)


def resnet9(labels: int) -> nn.Sequential:
    """The shape that DAWNBench's CIFAR-10 winners made common, a fourth as wide in each layer."""
    return residual_network(labels, 32, ((64, 1), (128, 0), (128, 1)), nn.AdaptiveMaxPool2d)


def resnet11(labels: int) -> nn.Sequential:
    """Three stages of one residual block each: 1.9 million weights."""
    return residual_network(labels, 32, ((64, 1), (128, 1), (256, 1)))


def resnet17(labels: int) -> nn.Sequential:
    """Twice as wide and twice as deep as resnet11: 14 million weights, for a GPU."""
    return residual_network(labels, 64, ((128, 2), (256, 2), (512, 2)), dropout=0.4)


class Committee(nn.Module):
    """Networks that learn side by side, each from its own first weights, and answer as one.

    In training it gives N×members×labels logits; else N×labels, the logarithm of their mean shares.
    """

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.stack([member(x) for member in self.members], dim=1)
        if self.training:
            return logits
        return logits.log_softmax(2).logsumexp(1) - math.log(len(self.members))


def committee(labels: int) -> Committee:
    """Five simpleconv3: with few training pictures their mean errs less than one of them."""
    return Committee(*(simpleconv3(labels) for _ in range(5)))


def resnet_pair(labels: int) -> Committee:
    """Two residual networks that err on different pictures: one keeps every pixel in its first
    layers, the other halves the picture at once and has more channels. 3 million weights.
    """
    return Committee(
        residual_network(labels, 24, ((48, 1), (96, 1), (192, 1)), dropout=0.5),
        residual_network(labels, 32, ((64, 1), (128, 1), (256, 1)), dropout=0.5, stride=2),
    )


OWN: dict[str, Callable[[int], nn.Module]] = {
    "simpleconv3": simpleconv3,
    "committee": committee,
    "resnet8": resnet8,
    "resnet9": resnet9,
    "resnet11": resnet11,
    "resnet17": resnet17,
    "resnet_pair": resnet_pair,
}


def build(recipe: Recipe, labels: int, start: bool = True) -> nn.Module:
    """The recipe's network with fresh last layers (drawn from torch's global generator).

    `start=False` leaves out its pretrained weights, for a network that is to be loaded anyway.
    Raises Usage for an unknown name, Trouble where weights cannot be had.
    """
    weights = recipe.weights if start else "none"
    if recipe.model in OWN:
        if weights == "DEFAULT":
            raise Usage(f"{recipe.model} has no pretrained weights: give --weights none or a file")
        if recipe.head_hidden:
            raise _no_hidden_layer(recipe.model)
        network = OWN[recipe.model](labels)
    else:
        network = _from_torchvision(recipe, labels, weights)
    if weights not in ("none", "DEFAULT"):
        load_backbone(network, Path(weights))
    if recipe.freeze:
        freeze(network, recipe, frozen=True)
    return network


def _from_torchvision(recipe: Recipe, labels: int, weights: str) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if recipe.model not in known:
        raise Usage(
            f"--model {recipe.model} is unknown; {near_misses(recipe.model, [*OWN, *known])}"
        )
    plain = {"aux_logits": False, "init_weights": False}
    extra = plain if recipe.model in ("googlenet", "inception_v3") else {}
    network: nn.Module = models.get_model(recipe.model, weights=None, **extra)
    if weights == "DEFAULT":
        network.load_state_dict(pretrained(recipe.model), strict=False)
    if recipe.weights == "DEFAULT" and extra:
        setattr(network, "transform_input", True)  # noqa: B010 – these two came with the input scaled otherwise
    if recipe.head_hidden and not any(isinstance(layer, nn.Linear) for layer in network.modules()):
        raise _no_hidden_layer(recipe.model)
    replace_head(network, recipe.head_hidden, labels)
    return network


def _no_hidden_layer(model: str) -> Usage:
    return Usage(f"{model} has no classifier that could take a hidden layer: drop --head-hidden")
