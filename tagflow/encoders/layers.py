"""The parts of a tower's layer: norms, and linear layers in the layout that the device is fast in."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every torch program uses
from torch import Tensor

EPSILON = 1e-5
ROWS = 512  # for how many rows oneDNN lays out weights; the layout serves any number


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer norm over the width, always in float32."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return `x` (tokens, width) with each row normalised."""
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, EPSILON)

    def to(self, device: torch.device) -> Norm:
        """Return a copy on another device."""
        return Norm(self.weight.to(device), self.bias.to(device))


@dataclass(frozen=True, slots=True)
class Linear:
    """x @ weight.T + bias in the weights' type, weight (out, in) as transformers and open_clip store it."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return (tokens, out) of `x` (tokens, in)."""
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias)

    def rows(self, start: int, end: int | None = None) -> Linear:
        """Return the layer that gives only the outputs from `start` to `end`; nothing is copied."""
        return Linear(self.weight[start:end], self.bias[start:end])

    def packed(self) -> Linear:
        """Return the layer with its weight laid out anew where that makes it faster."""
        if self.weight.dtype != torch.bfloat16 or self.weight.device.type != "cpu" or not can_pack():
            return self
        return _packed(self)

    def to(self, device: torch.device) -> Linear:
        """Return a copy on another device."""
        return Linear(self.weight.to(device), self.bias.to(device))


@dataclass(frozen=True, slots=True)
class PackedLinear(Linear):
    """A linear layer in bf16 on a CPU whose weight lies as oneDNN's products want it; it has no rows.

    F.linear lays the weight out anew in every call: at 512 tokens that is a quarter of its time. The two
    operators are those of torch's own compiler; they have no public names, so `can_pack` tries them.
    """

    def __call__(self, x: Tensor) -> Tensor:
        """Return (tokens, out) of `x` (tokens, in)."""
        x = x.to(torch.bfloat16)
        made: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return made


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's weights; `qkv` gives queries, keys and values side by side."""

    norm1: Norm
    qkv: Linear
    out: Linear
    norm2: Norm
    up: Linear
    down: Linear

    def packed(self) -> Layer:
        """Return the layer with all four products as fast as they can be; the queries' rows are not apart."""
        return replace(self, **{name: getattr(self, name).packed() for name in ("qkv", "out", "up", "down")})

    def to(self, device: torch.device) -> Layer:
        """Return a copy on another device."""
        return Layer(*(getattr(self, part.name).to(device) for part in fields(self)))


@cache
def can_pack() -> bool:
    """Say whether this torch and this CPU have oneDNN's products in bf16, and they are those of F.linear."""
    layer = Linear(torch.eye(64, dtype=torch.bfloat16), torch.ones(64, dtype=torch.bfloat16))
    x = torch.arange(128.0).view(2, 64)
    try:
        return torch.equal(_packed(layer)(x), layer(x))
    except (AttributeError, RuntimeError):  # no such operator, or not for this CPU
        return False


def _packed(layer: Linear) -> PackedLinear:
    return PackedLinear(torch.ops.mkldnn._reorder_linear_weight(layer.weight, ROWS), layer.bias)
