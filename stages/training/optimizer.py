"""The optimizer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stages.training.recipes import Recipe

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam (Kingma and Ba 2015)


class Optimizer:
    """SGD or Adam over all parameters; biases and batch norm do not decay.

    It calls the kernels of torch's own optimizers, so it ends with their weights. The classes
    of torch.optim import torch's compiler on first use, which takes longer than a short training.
    Parameters without a gradient, such as frozen ones, are left alone.
    """

    def __init__(self, recipe: Recipe, network: nn.Module) -> None:
        self._recipe = recipe
        self._parameters: list[Tensor] = list(network.parameters())
        self._state: dict[int, list[Tensor]] = {}  # by the parameter's place

    def zero_grad(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change the parameters by their gradients, at a learning rate."""
        learning = [
            place for place, parameter in enumerate(self._parameters) if parameter.grad is not None
        ]
        for decays in (True, False):
            places = [place for place in learning if (self._parameters[place].ndim > 1) == decays]
            if places:
                self._change(places, rate, self._recipe.weight_decay if decays else 0.0)

    def _change(self, places: list[int], rate: float, decay: float) -> None:
        recipe = self._recipe
        parameters = [self._parameters[place] for place in places]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        states = [self._state_of(place) for place in places]
        if recipe.optimizer == "adam":
            first, second, steps = (list(tensors) for tensors in zip(*states, strict=True))
            torch._foreach_add_(steps, 1)
            torch._fused_adam_(
                parameters,
                gradients,
                first,
                second,
                [],
                steps,
                lr=rate,
                beta1=BETAS[0],
                beta2=BETAS[1],
                weight_decay=decay,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )
        else:
            torch._fused_sgd_(
                parameters,
                gradients,
                [momentum for state in states for momentum in state],
                weight_decay=decay,
                momentum=recipe.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=recipe.nesterov,
                maximize=False,
                is_first_step=False,
            )

    def _state_of(self, place: int) -> list[Tensor]:
        """Adam: mean gradient, mean square, count of steps. SGD: momentum, if it has any."""
        if place not in self._state:
            zeros = torch.zeros_like(self._parameters[place])
            if self._recipe.optimizer == "adam":
                count = torch.zeros((), device=zeros.device)
                self._state[place] = [zeros, zeros.clone(), count]
            else:
                self._state[place] = [zeros] if self._recipe.momentum else []
        return self._state[place]

    def state_dict(self) -> dict[int, list[Tensor]]:
        return self._state

    def load_state_dict(self, state: dict[int, list[Tensor]]) -> None:
        """Take the state of another optimizer of the same recipe and network.

        Raises LookupError, TypeError, ValueError or RuntimeError for anything else.
        """
        self._state = {}
        for place, tensors in state.items():
            own = self._state_of(range(len(self._parameters))[place])
            for tensor, value in zip(own, tensors, strict=True):
                tensor.copy_(value)
