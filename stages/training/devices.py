"""Where a network computes, and in which precision."""

from __future__ import annotations

import torch


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is the GPU where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def device_name(device: torch.device, bfloat16: bool = False) -> str:
    """The device, as messages name it; `bfloat16` is what the recipe wishes for."""
    if device.type == "cuda":
        return f"GPU ({torch.cuda.get_device_name(device)})"
    if device.type != "cpu":
        return str(device)
    precision = ", bfloat16" if bfloat16 and has_bfloat16() else ""
    threads = torch.get_num_threads()
    return f"CPU ({threads} {'threads' if threads > 1 else 'thread'}{precision})"


def has_bfloat16() -> bool:
    """Whether this CPU multiplies matrices in bfloat16 faster than in float32."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def autocast(device: torch.device, bfloat16: bool = False) -> torch.autocast:
    """Matrix work in bfloat16, on a GPU always, on a CPU that is able where the recipe wishes for
    it; weights and sums stay float32.
    """
    enabled = device.type == "cuda" or (device.type == "cpu" and bfloat16 and has_bfloat16())
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
