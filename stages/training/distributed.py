"""Training in several processes: `torchrun -m pipeline train` starts them, each takes its share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The place of this process among all; the only one where torchrun did not start it."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this is the one process that prints and writes."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """The share that this process has of `count` things in a row."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first process makes, in all of them."""
        made = [make() if self.writes else None]
        dist.broadcast_object_list(made)
        return cast(T, made[0])

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process does this before the others begin."""
        if self.size > 1 and not self.writes:
            dist.barrier()
        yield
        if self.size > 1 and self.writes:
            dist.barrier()

    def prepare(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged, and batch norm measured, over all processes."""
        if self.size == 1:
            return network
        network = share_batch_norm(network)
        return nn.parallel.DistributedDataParallel(network)


ONE_PROCESS = World()
LONGEST_WAIT = timedelta(days=2)  # of processes for each other: the stages may come in between


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Meet the other processes; the first may take hours for the stages before it comes."""
    cuda = device in ("auto", "cuda") and torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo", timeout=LONGEST_WAIT)
    try:
        dist.barrier()
        yield World(dist.get_rank(), dist.get_world_size())
        dist.barrier()
    finally:
        dist.destroy_process_group()


class SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes, for gradients too.

    Torch's own (torch.distributed.nn) is deprecated in favour of a private module.
    """

    @staticmethod
    def forward(context: object, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes' pictures, on a CPU; torch's SyncBatchNorm needs a GPU."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        if input.dtype == torch.bfloat16:  # its sums would be rounded too much
            input = input.float()
        count = torch.full((1,), input.numel() / input.shape[1], dtype=input.dtype)
        parts = torch.cat([input.sum((0, 2, 3)), count])
        total = SumOverProcesses.apply(parts)
        mean = total[:-1] / total[-1]
        away = input - mean[None, :, None, None]
        variance = SumOverProcesses.apply(away.square().sum((0, 2, 3))) / total[-1]
        with torch.no_grad():
            self._remember(mean, variance * total[-1] / (total[-1] - 1))
        scaled: Tensor = away * torch.rsqrt(variance + self.eps)[None, :, None, None]
        weight, bias = self.weight[None, :, None, None], self.bias[None, :, None, None]
        return torch.addcmul(bias, scaled, weight)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.momentum is not None and self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)


def share_batch_norm(network: nn.Module) -> nn.Module:
    """The network with batch norm over the pictures of all processes."""
    if next(network.parameters()).is_cuda:
        shared: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return shared
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
    return network
