"""Where a network computes, and in which precision."""

from __future__ import annotations

import torch


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is the GPU where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """The device, as messages name it."""
    if device.type == "cuda":
        return f"GPU ({torch.cuda.get_device_name(device)})"
    return f"CPU ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def autocast(device: torch.device) -> torch.autocast:
    """On a GPU, matrix work in bfloat16; weights and sums stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
