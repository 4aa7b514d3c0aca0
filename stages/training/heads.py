"""The last layers of a network: replaced for our labels, frozen or trained alone."""

from __future__ import annotations

from itertools import takewhile

from torch import nn

from stages.training.recipes import Recipe


def replace_head(network: nn.Module, hidden: int, labels: int) -> None:
    """Replace the last layer by one for our labels; with `hidden`, replace all linear ones."""
    layers = [
        (name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)
    ]
    if not layers:  # squeezenet ends in a 1×1 convolution
        name, last = [
            (name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)
        ][-1]
        height, width = last.kernel_size
        _set(network, name, nn.Conv2d(last.in_channels, labels, (height, width)))
        return
    if hidden:
        top = layers[-1][0].split(".")[0]
        inputs = next(layer.in_features for name, layer in layers if name.split(".")[0] == top)
        before = takewhile(lambda layer: not isinstance(layer, nn.Linear), _chain(network, top))
        kept = [layer for layer in before if not isinstance(layer, nn.Dropout)]
        head = (nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, labels))
        _set(network, top, nn.Sequential(*kept, *head))
        return
    name, layer = layers[-1]
    _set(network, name, nn.Linear(layer.in_features, labels))


def _chain(network: nn.Module, name: str) -> list[nn.Module]:
    """The layers of a part, one after the other."""
    part = network.get_submodule(name)
    return list(part.children()) if isinstance(part, nn.Sequential) else [part]


def head_of(network: nn.Module, recipe: Recipe) -> nn.Module:
    """The layers that are new: all of a head with hidden units, else the last linear layer."""
    names = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not names:
        return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
    return network.get_submodule(names[-1].split(".")[0] if recipe.head_hidden else names[-1])


def freeze(network: nn.Module, recipe: Recipe, frozen: bool) -> bool:
    """Freeze all layers but the head, or thaw them; returns `frozen`."""
    network.requires_grad_(not frozen)
    head_of(network, recipe).requires_grad_(True)
    return frozen


def train_mode(network: nn.Module) -> None:
    """Training mode, but batch norm whose weights are frozen keeps its statistics."""
    network.train()
    for module in network.modules():
        learns = any(parameter.requires_grad for parameter in module.parameters(recurse=False))
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not learns:
            module.eval()


def _set(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, layer)
