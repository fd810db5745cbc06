"""In which type of numbers a device is fast: measured, for a name does not tell whether a CPU has bf16."""

from __future__ import annotations

from time import perf_counter

import torch

from tagflow.encoders.layers import Linear

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WIDTH = 1280  # te2's
TOKENS = {"cpu": 512, "cuda": 8192}
TIMES = 3
# What half the digits must gain: the closest calls are computed in fp32 on top, and the weights read again.
GAIN = 1.5
# fp16 has more digits than bf16, but can overflow; so it is taken where bf16 is clearly slower (GPUs before
# Ampere). CPUs are slow in it.
AHEAD = 1.2


def fastest(device: torch.device) -> str:
    """Return the dtype to encode in on `device`: bf16 or fp16 where a product gains by it.

    Takes a tenth of a second.
    """
    seconds = {"fp32": _seconds(device, torch.float32), "bf16": _seconds(device, torch.bfloat16)}
    if device.type == "cuda":
        seconds["fp16"] = _seconds(device, torch.float16) * AHEAD
    best = min(seconds, key=lambda name: seconds[name])
    return best if seconds["fp32"] >= GAIN * seconds[best] else "fp32"


@torch.inference_mode()
def _seconds(device: torch.device, dtype: torch.dtype) -> float:
    """Return the seconds of the largest product of te2's layer, the best of a few."""
    weight = torch.ones((4 * WIDTH, WIDTH), dtype=dtype, device=device)
    up = Linear(weight, weight[:, 0].contiguous()).packed()
    x = torch.ones((TOKENS[device.type], WIDTH), dtype=dtype, device=device)
    found = []
    for _ in range(TIMES + 1):  # the first one compiles
        start = perf_counter()
        up(x)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(perf_counter() - start)
    return min(found[1:])
