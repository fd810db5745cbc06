"""The stand-in, two small untrained towers without a file; open it for their sizes, seeds and fingerprint.

Its similarities mean nothing; whatever is measured with it is never certified. It exists for first steps,
demonstrations and tests on machines without a checkpoint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tagflow.encoders.layout import POSITIONS, VOCABULARY
from tagflow.encoders.tower import ACTIVATIONS, Layer, Linear, Norm, Tower

RECIPE = "1"  # raise it whenever a number below changes: the fingerprint names what measured
SIZES = {"te1": (128, 3), "te2": (192, 4)}  # width, layers
SEEDS = {"te1": 20231, "te2": 20232}
Draw = Callable[..., Tensor]


def fingerprint() -> str:
    """Return `stand-in:` and a sha256 (hex) of the recipe."""
    recipe = f"{RECIPE} {SIZES} {SEEDS}"
    return "stand-in:" + hashlib.sha256(recipe.encode()).hexdigest()


def stand_in(name: str, dtype: torch.dtype, device: torch.device) -> Tower:
    """Return the untrained tower `name`, the same on every machine."""
    width, layers = SIZES[name]
    draw = _drawer(SEEDS[name])
    return Tower(
        token_embedding=draw(VOCABULARY, width, std=0.02).to(device, dtype),
        position_embedding=draw(POSITIONS, width, std=0.01).to(device),
        layers=tuple(_layer(draw, width, layers, dtype, device) for _ in range(layers)),
        depth=layers,
        norm=_norm(width, device),
        projection=None if name == "te1" else draw(width, width, std=width**-0.5).to(device),
        activation=ACTIVATIONS[name],
        device=device,
    )


def _drawer(seed: int) -> Draw:
    """Return a source of uniform numbers with a given standard deviation.

    It scales PCG64's raw 24-bit integers, exact arithmetic and a stream that NumPy keeps for good;
    normal deviates would depend on the machine's logarithm.
    """
    stream = np.random.PCG64(seed)

    def draw(*shape: int, std: float) -> Tensor:
        count = int(np.prod(shape))
        raw = np.asarray(stream.random_raw((count + 1) // 2), dtype="<u8").view("<u4")[:count]
        unit = (raw >> 8).astype(np.float32) * np.float32(2**-24) - np.float32(0.5)
        return torch.from_numpy(unit * np.float32(12**0.5 * std)).reshape(shape)

    return draw


def _layer(draw: Draw, width: int, layers: int, dtype: torch.dtype, device: torch.device) -> Layer:
    """Return one layer, initialised as CLIP is before training."""
    deep = width**-0.5 * (2 * layers) ** -0.5

    def linear(rows: int, columns: int, std: float) -> Linear:
        weight = draw(rows, columns, std=std)
        return Linear(weight.to(device, dtype), torch.zeros(rows, dtype=dtype, device=device))

    return Layer(
        norm1=_norm(width, device),
        qkv=linear(3 * width, width, width**-0.5),
        out=linear(width, width, deep),
        norm2=_norm(width, device),
        up=linear(4 * width, width, (2 * width) ** -0.5),
        down=linear(width, 4 * width, deep),
    )


def _norm(width: int, device: torch.device) -> Norm:
    return Norm(torch.ones(width, device=device), torch.zeros(width, device=device))
