"""The published training loop, faithfully plain: ImageFolder, DataLoader, PIL transforms, SGD."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from stages.training.models import simpleconv3


@dataclass(frozen=True)
class Epoch:
    """Mean loss and accuracy over all pictures, and the seconds since training began."""

    trainloss: float
    trainacc: float
    valloss: float
    valacc: float
    seconds: float


def train(
    dataset: Path, epochs: int, batch: int, device: torch.device, seed: int = 0, workers: int = 2
) -> Iterator[Epoch]:
    """Train simpleconv3 on `dataset`/train, an epoch at a time; its known faults are left out."""
    torch.manual_seed(seed)
    scaled = [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    random = [transforms.RandomResizedCrop(48), transforms.RandomHorizontalFlip()]
    fixed = [transforms.Resize(64), transforms.CenterCrop(48)]
    sets = {
        "train": ImageFolder(str(dataset / "train"), transforms.Compose([*random, *scaled])),
        "val": ImageFolder(str(dataset / "val"), transforms.Compose([*fixed, *scaled])),
    }
    loaders = {
        name: DataLoader(pictures, batch, shuffle=name == "train", num_workers=workers)
        for name, pictures in sets.items()
    }
    network = simpleconv3(len(sets["train"].classes)).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=100, gamma=0.1)
    entropy = nn.CrossEntropyLoss()
    began = time.monotonic()
    for _ in range(epochs):
        means: list[float] = []
        for name, loader in loaders.items():
            network.train(name == "train")
            loss_sum = right = 0.0
            for images, classes in loader:
                with torch.set_grad_enabled(name == "train"):
                    logits = network(images.to(device))
                    loss = entropy(logits, classes.to(device))
                if name == "train":
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                loss_sum += loss.item() * len(classes)
                right += (logits.argmax(1).cpu() == classes).sum().item()
            means += [loss_sum / len(sets[name]), right / len(sets[name])]
        schedule.step()
        trainloss, trainacc, valloss, valacc = means
        yield Epoch(trainloss, trainacc, valloss, valacc, time.monotonic() - began)
