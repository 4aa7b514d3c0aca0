"""Several processes as one: `torchrun -m pipeline train` starts them, each takes its share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


@dataclass(frozen=True)
class World:
    """The place of this process among all; alone where torchrun did not start it."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> World:
        """Meet the other processes; the first may take hours for the stages before it comes."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(days=2))
        dist.barrier()
        return cls(dist.get_rank(), size)

    def leave(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()

    @property
    def writes(self) -> bool:
        """Whether this is the one process that prints and writes."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """The share of this process in `count` things in a row."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def prepare(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged, and batch norm measured, over all processes."""
        if self.size == 1:
            return network
        network = share_batch_norm(network)
        return nn.parallel.DistributedDataParallel(network)


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the pictures of all processes; torch's own exists for GPUs only."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        count = torch.full((1,), input.numel() / input.shape[1], dtype=input.dtype)
        parts = torch.cat([input.sum((0, 2, 3)), count])
        total = all_reduce(parts)
        mean = total[:-1] / total[-1]
        away = input - mean[None, :, None, None]
        variance = all_reduce(away.square().sum((0, 2, 3))) / total[-1]
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
    """The network with batch norm that sees all processes' pictures."""
    if next(network.parameters()).is_cuda:
        shared: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return shared
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
    return network
