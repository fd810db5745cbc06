"""The text tower that te1 and te2 share: a causal pre-norm transformer over unpadded token windows.

Attention is causal: a token's state depends on the tokens up to it and on nothing else. So padding
could change nothing before it and is left out, and a beginning that several windows share (BOS, a
trigger, `1girl, solo,`) is computed once. Both are exact. The tower works on a matrix with one row
for each distinct beginning; only attention knows windows, and runs once for each length of them.

Source: transformers' `modeling_clip.py` and open_clip's `transformer.py`; the tests hold the tower
to both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every torch program uses
from torch import Tensor

EOS, HEAD_WIDTH, EPSILON = 49407, 64, 1e-5


def quick_gelu(x: Tensor) -> Tensor:
    """Return te1's activation, x * sigmoid(1.702 x), written over `x`."""
    return x.mul_(torch.sigmoid(x * 1.702))


# Which activation a tower has cannot be read from its tensors.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"te1": quick_gelu, "te2": F.gelu}


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer norm over the width, always in float32."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return `x` (tokens, width) with each row normalised."""
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, EPSILON)


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


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's weights; `qkv` gives queries, keys and values side by side."""

    norm1: Norm
    qkv: Linear
    out: Linear
    norm2: Norm
    up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class Packed:
    """Windows sorted by length, end to end, on rows that they share where they begin alike.

    ids, positions (rows,): the last token of each beginning and its place. row (tokens,): the row of
    each token of the windows. token (rows,): one token that has the row. lengths: of the windows.
    eos (windows,): place of the first EOS in its window, 0 where there is none.
    """

    ids: Tensor
    positions: Tensor
    row: Tensor
    token: Tensor
    lengths: tuple[int, ...]
    eos: Tensor

    def runs(self) -> Iterator[tuple[slice, slice, int]]:
        """Yield (windows, tokens, length) for each length."""
        first = start = 0
        for length, group in groupby(self.lengths):
            count = len(list(group))
            yield slice(first, first + count), slice(start, start + count * length), length
            first, start = first + count, start + count * length


def pack(windows: Sequence[Sequence[int]], device: torch.device) -> Packed:
    """Lay out `windows`, sorted by length, on `device`."""
    rows: dict[tuple[int, int], int] = {}  # (row of what comes before, token id) -> row
    last: list[tuple[int, int, int]] = []  # of each row: token id, position, a token that has the row
    row: list[int] = []
    for window in windows:
        before = -1
        for position, token_id in enumerate(window):
            before = rows.setdefault((before, token_id), len(rows))
            if before == len(last):
                last.append((token_id, position, len(row)))
            row.append(before)
    ids, positions, token = torch.tensor(last).T.contiguous().to(device)
    places = [list(window).index(EOS) if EOS in window else 0 for window in windows]
    eos = torch.tensor(places, device=device)
    return Packed(ids, positions, torch.tensor(row, device=device), token, tuple(map(len, windows)), eos)


@dataclass(frozen=True, slots=True)
class Tower:
    """A text tower. Residual stream, norms and projection are float32 whatever the other weights are."""

    token_embedding: Tensor
    position_embedding: Tensor
    layers: tuple[Layer, ...]
    norm: Norm
    projection: Tensor | None
    activation: Callable[[Tensor], Tensor]

    @torch.inference_mode()
    def __call__(self, windows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return (hidden, pooled) of windows sorted by length, float32.

        hidden (tokens of all windows, width): after the last layer but one, no final norm.
        pooled (windows, projection width or width): final norm at each window's first EOS, projected.
        """
        packed = pack(windows, self.token_embedding.device)
        x = F.embedding(packed.ids, self.token_embedding).float()
        x += F.embedding(packed.positions, self.position_embedding)
        for layer in self.layers[:-1]:
            x += layer.out(attend(layer.qkv(layer.norm1(x)), packed))
            x += self._mlp(layer, x)
        pooled = self.norm(self._last(x, packed))
        return x[packed.row], pooled if self.projection is None else pooled @ self.projection

    def _mlp(self, layer: Layer, x: Tensor) -> Tensor:
        return layer.down(self.activation(layer.up(layer.norm2(x))))

    def _last(self, x: Tensor, packed: Packed) -> Tensor:
        """Return (windows, width): the last layer at each first EOS, the only place where it is used."""
        layer, width = self.layers[-1], x.shape[1]
        starts = torch.tensor((0, *packed.lengths[:-1]), device=x.device).cumsum(0)
        rows = packed.row[starts + packed.eos]
        h = layer.norm1(x)
        queries, pairs = layer.qkv.rows(0, width)(h[rows]), layer.qkv.rows(width)(h)
        x = x[rows] + layer.out(attend_from_eos(queries, pairs, packed))
        return x + self._mlp(layer, x)


def attend(qkv: Tensor, packed: Packed) -> Tensor:
    """Return causal attention (rows, width) from `qkv` (rows, 3 * width), window by window."""
    spread, done = qkv[packed.row], []
    for _, tokens, length in packed.runs():
        q, k, v = _heads(spread[tokens], length, 3)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        done.append(heads.transpose(1, 2).flatten(0, 1).flatten(1))
    return torch.cat(done)[packed.token]


def attend_from_eos(queries: Tensor, pairs: Tensor, packed: Packed) -> Tensor:
    """Return attention (windows, width) of each window's first EOS to what is not after it.

    queries (windows, width); pairs (rows, 2 * width): keys and values side by side.
    """
    spread, done = pairs[packed.row], []
    for windows, tokens, length in packed.runs():
        k, v = _heads(spread[tokens], length, 2)
        (q,) = _heads(queries[windows], 1, 1)
        seen = torch.arange(length, device=q.device) <= packed.eos[windows].view(-1, 1, 1, 1)
        done.append(F.scaled_dot_product_attention(q, k, v, attn_mask=seen).flatten(1))
    return torch.cat(done)


def _heads(x: Tensor, length: int, parts: int) -> Tensor:
    """Return (parts, windows, heads, length, 64) of `x` (windows * length, parts * width); a view."""
    return x.view(-1, length, parts, x.shape[1] // parts // HEAD_WIDTH, HEAD_WIDTH).permute(2, 0, 3, 1, 4)
