"""Networks by name: our own, and all of torchvision's with a head for our labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from pipeline.settings import near_misses
from pipeline.trouble import Trouble, Usage
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


def resnet9(labels: int) -> nn.Sequential:
    """A small residual network for small pictures: logits N×labels from N×3×S×S, S ≥ 32.

    The shape that DAWNBench's CIFAR-10 winners made common, a fourth as wide in each layer.
    """

    def block(before: int, after: int, stride: int = 1) -> nn.Sequential:
        convolution = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())

    return nn.Sequential(
        block(3, 32),
        block(32, 64, 2),
        Residual(block(64, 64), block(64, 64)),
        block(64, 128, 2),
        block(128, 128, 2),
        Residual(block(128, 128), block(128, 128)),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(128, labels),
    )


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


OWN: dict[str, Callable[[int], nn.Module]] = {
    "simpleconv3": simpleconv3,
    "committee": committee,
    "resnet9": resnet9,
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
        _load_backbone(network, Path(weights))
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
        network.load_state_dict(_pretrained(recipe.model), strict=False)
    if recipe.weights == "DEFAULT" and extra:
        setattr(network, "transform_input", True)  # noqa: B010 – these two came with the input scaled otherwise
    if recipe.head_hidden and not any(isinstance(layer, nn.Linear) for layer in network.modules()):
        raise _no_hidden_layer(recipe.model)
    _replace_head(network, recipe.head_hidden, labels)
    return network


def _no_hidden_layer(model: str) -> Usage:
    return Usage(f"{model} has no classifier that could take a hidden layer: drop --head-hidden")


def _pretrained(name: str) -> dict[str, Tensor]:
    """Torchvision's weights, from torch's cache or the network; never unpickled."""
    from torchvision import models

    entry = models.get_model_weights(name).DEFAULT
    try:
        state: dict[str, Tensor] = entry.get_state_dict(
            progress=True, check_hash=True, weights_only=True
        )
    except (URLError, OSError) as error:
        file = entry.url.rsplit("/", 1)[-1]
        raise Trouble(
            f"pretrained weights for {name} cannot be downloaded ({error}): fetch {entry.url} and "
            f"put {file} into {torch.hub.get_dir()}/checkpoints, or train the whole "
            "network from nothing with --weights none --no-freeze"
        ) from error
    return state


def _load_backbone(network: nn.Module, path: Path) -> None:
    """Load weights of a file (.safetensors, or .pth of tensors only) where names and shapes fit."""
    state = _state_of(path)
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        names = ", ".join(map(str, state)) if isinstance(state, dict) else type(state).__name__
        raise Trouble(
            f"--weights {path} holds no weights by name, but {names[:200]}: save the network's "
            "state_dict alone"
        )
    own = network.state_dict()
    fitting = {
        name: value
        for name, value in state.items()
        if name in own and own[name].shape == value.shape
    }
    if not fitting:
        raise Trouble(f"--weights {path} fits no layer of this network")
    network.load_state_dict(fitting, strict=False)


def _state_of(path: Path) -> object:
    """What a file of weights holds. Nothing but tensors and plain values is unpickled."""
    from pickle import UnpicklingError

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from stages.model.foreign import kind_of

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise Trouble(f"--weights {path} cannot be read: {error.strerror or error}") from error
    except UnpicklingError as error:
        raise Trouble(
            f"--weights {path} cannot be read: it is {kind_of(path)} with more than tensors in it, "
            "which could run code; save the network's state_dict alone"
        ) from error
    except (EOFError, SafetensorError, RuntimeError, ValueError) as error:
        raise Trouble(
            f"--weights {path} cannot be read: it is {kind_of(path)}, or it is damaged; give a "
            ".safetensors, or a .pth that holds a state_dict"
        ) from error


def _replace_head(network: nn.Module, hidden: int, labels: int) -> None:
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
