"""Weights that a network starts from: torchvision's, or those of a file."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from pipeline.trouble import Trouble


def pretrained(name: str) -> dict[str, Tensor]:
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


def load_backbone(network: nn.Module, path: Path) -> None:
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
