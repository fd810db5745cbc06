"""The network of te1 and te2; open it for a wrong vector, an activation, or why a dtype is called fastest.

It is a causal pre-norm transformer over unpadded token windows. It works on a matrix with one row for each
distinct beginning of a window (see `packing.py`), layer by layer: each layer's weights go once through all
windows of a call, a part of them at a time that fits the caches. Below it stand the parts of a layer, norms
and linear layers in the layout that the device is fast in, and the measurement of which dtype that is: a name
does not tell whether a CPU has bf16.

Source: transformers' `modeling_clip.py` and open_clip's `transformer.py`; the tests and
`tagflow models compare` hold the tower to both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from time import perf_counter
from typing import TypeVar

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every torch program uses
from torch import Tensor

from tagflow.encoders.packing import EncodeRequest, Packed, pack
from tagflow.progress import Progress, silent

HEAD_WIDTH = 64
# Tokens that go through a layer together: on a CPU their activations stay in its caches (see
# benchmarks/encoders.py), a GPU takes all at once.
AT_ONCE = 512

Item = TypeVar("Item")
Activation = Callable[[Tensor], Tensor]


def quick_gelu(x: Tensor) -> Tensor:
    """Return te1's activation, x * sigmoid(1.702 x), written over `x`."""
    return x.mul_(torch.sigmoid(x * 1.702))


# Which activation a tower has cannot be read from its tensors.
ACTIVATIONS: dict[str, Activation] = {"te1": quick_gelu, "te2": F.gelu}


@dataclass(slots=True)
class _Part:
    """Some of a call's windows on their way through the layers. x (rows, width): the residual stream."""

    packed: Packed
    x: Tensor


@dataclass(frozen=True, slots=True)
class Tower:
    """A text tower. Residual stream, norms, embeddings and projection are exact whatever the dtype is.

    layers: a sequence, or something that reads one layer after another from the file.
    """

    token_embedding: Tensor
    position_embedding: Tensor
    layers: Iterable[Layer]
    depth: int
    norm: Norm
    projection: Tensor | None
    activation: Activation
    device: torch.device = field(default=torch.device("cpu"))

    @property
    def width(self) -> int:
        """The width of the residual stream."""
        return int(self.token_embedding.shape[1])

    def common_direction(self) -> float:
        """Return how many times longer the mean token embedding is than that of random ones would be.

        About 1 for weights that were drawn by chance. Training gives embeddings a direction that nearly all
        share: 17.6 in all-MiniLM-L6-v2.
        """
        total = torch.zeros(self.width, dtype=torch.float64, device=self.device)
        squares = 0.0
        for rows in torch.split(self.token_embedding, 4096):  # all of them in float32 would be 250 MB
            total += rows.double().sum(0)
            squares += float(rows.double().square().sum())
        return float(total.norm()) / math.sqrt(squares)

    def to(self, device: torch.device) -> Tower:
        """Return a copy on another device."""
        return replace(
            self,
            token_embedding=self.token_embedding.to(device),
            position_embedding=self.position_embedding.to(device),
            layers=tuple(layer.to(device) for layer in self.layers),
            norm=self.norm.to(device),
            projection=None if self.projection is None else self.projection.to(device),
            device=device,
        )

    @torch.inference_mode()
    def __call__(
        self, asked: Sequence[EncodeRequest], progress: Progress = silent, *, final: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return (pooled, means), float32, on the tower's device; a GPU is not waited for.

        pooled (asked, projection width or width): final norm at the first EOS of its first window, projected.
        means (means of all of `asked`, width): of the states after the last layer but one, no final norm;
        with `final` after the last layer and the final norm. `progress` is told layers.
        """
        limit = AT_ONCE if self.device.type == "cpu" else sum(one.tokens for one in asked)
        parts: list[_Part] = []
        for some in batches(asked, lambda: limit, lambda one: one.tokens):
            packed = pack(some, self.device)
            x = F.embedding(packed.ids, self.token_embedding).float()
            parts.append(_Part(packed, x.add_(F.embedding(packed.positions, self.position_embedding))))
        pooled: list[Tensor] = []
        number = 0
        for layer in self.layers:
            number += 1  # noqa: SIM113 - enumerate would keep the last layer while the next one is read
            for part in parts:
                if number < self.depth or final:
                    part.x += layer.out(attend(layer.qkv(layer.norm1(part.x)), part.packed))
                    part.x += self._mlp(layer, part.x)
                else:
                    pooled.append(self._last(layer, part))
            progress(number, self.depth)
            del layer  # where layers are read one after another, the next one takes its memory
        if final:
            for part in parts:
                part.x = self.norm(part.x)
                ends = part.x[part.packed.eos_rows[part.packed.first]]
                pooled.append(ends if self.projection is None else ends @ self.projection)
        means = [F.embedding_bag(p.packed.sets, p.x, p.packed.offsets, mode="mean") for p in parts]
        return torch.cat(pooled), torch.cat(means)

    def _mlp(self, layer: Layer, x: Tensor) -> Tensor:
        return layer.down(self.activation(layer.up(layer.norm2(x))))

    def _last(self, layer: Layer, part: _Part) -> Tensor:
        """Return pooled: the last layer is computed at each first EOS only, the one place that is used."""
        packed, width = part.packed, self.width
        h = layer.norm1(part.x)
        queries, pairs = layer.qkv.rows(0, width)(h[packed.eos_rows]), layer.qkv.rows(width)(h)
        x = part.x[packed.eos_rows] + layer.out(attend_from_eos(queries, pairs, packed))
        x = self.norm((x + self._mlp(layer, x))[packed.first])
        return x if self.projection is None else x @ self.projection


def attend(qkv: Tensor, packed: Packed) -> Tensor:
    """Return causal attention (rows, width) from `qkv` (rows, 3 * width), window by window."""
    spread, done = qkv.index_select(0, packed.spread), []
    for _, places, length in packed.calls():
        q, k, v = _heads(spread[places], length, 3)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        done.append(heads.transpose(1, 2).flatten(0, 1).flatten(1))
    return torch.cat(done).index_select(0, packed.back)


def attend_from_eos(queries: Tensor, pairs: Tensor, packed: Packed) -> Tensor:
    """Return attention (windows, width) of each window's first EOS to what is not after it.

    queries (windows, width); pairs (rows, 2 * width): keys and values side by side.
    """
    spread, done = pairs.index_select(0, packed.spread), []
    for windows, places, length in packed.calls():
        k, v = _heads(spread[places], length, 2)
        (q,) = _heads(queries[windows], 1, 1)
        seen = torch.arange(length, device=q.device) <= packed.eos[windows].view(-1, 1, 1, 1)
        done.append(F.scaled_dot_product_attention(q, k, v, attn_mask=seen).flatten(1))
    return torch.cat(done)


def _heads(x: Tensor, length: int, parts: int) -> Tensor:
    """Return (parts, windows, heads, length, 64) of `x` (windows * length, parts * width); a view."""
    return x.view(-1, length, parts, x.shape[1] // parts // HEAD_WIDTH, HEAD_WIDTH).permute(2, 0, 3, 1, 4)


def batches(
    items: Sequence[Item], limit: Callable[[], int], size: Callable[[Item], int]
) -> Iterator[list[Item]]:
    """Yield `items` in order, in batches of `limit()` token ids at most (at least one item)."""
    batch: list[Item] = []
    total = 0
    for item in items:
        if batch and total + size(item) > limit():
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size(item)
    if batch:
        yield batch


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
