"""The text tower that te1 and te2 share: a causal pre-norm transformer over unpadded token windows.

It works on a matrix with one row for each distinct beginning of a window (see `packing.py`), layer by layer:
each layer's weights go once through all windows of a call, a part of them at a time that fits the caches.

Source: transformers' `modeling_clip.py` and open_clip's `transformer.py`; the tests hold the tower
to both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every torch program uses
from torch import Tensor

from tagflow.encoders.packing import Asked, Packed, pack

if TYPE_CHECKING:
    from tagflow.encoders.layers import Layer, Norm

HEAD_WIDTH = 64
# Tokens that go through a layer together: on a CPU their activations stay in its caches (see
# benchmarks/encoders.py), a GPU takes all at once.
AT_ONCE = 512

Item = TypeVar("Item")
Activation = Callable[[Tensor], Tensor]
Tick = Callable[[float], None]


def quick_gelu(x: Tensor) -> Tensor:
    """Return te1's activation, x * sigmoid(1.702 x), written over `x`."""
    return x.mul_(torch.sigmoid(x * 1.702))


# Which activation a tower has cannot be read from its tensors.
ACTIVATIONS: dict[str, Activation] = {"te1": quick_gelu, "te2": F.gelu}


def silent(part: float) -> None:
    """Tell nobody which part of a call is done."""


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
    def __call__(self, asked: Sequence[Asked], tick: Tick = silent) -> tuple[Tensor, Tensor]:
        """Return (pooled, means), float32, on the tower's device; a GPU is not waited for.

        pooled (asked, projection width or width): final norm at the first EOS of its first window, projected.
        means (means of all of `asked`, width): of the states after the last layer but one, no final norm.
        tick: told after each layer which part is done.
        """
        limit = AT_ONCE if self.device.type == "cpu" else sum(one.tokens for one in asked)
        parts = [self._embedded(some) for some in batches(asked, lambda: limit, lambda one: one.tokens)]
        pooled: list[Tensor] = []
        number = 0
        for layer in self.layers:
            number += 1  # noqa: SIM113 - enumerate would keep the last layer while the next one is read
            for part in parts:
                if number < self.depth:
                    part.x += layer.out(attend(layer.qkv(layer.norm1(part.x)), part.packed))
                    part.x += self._mlp(layer, part.x)
                else:
                    pooled.append(self._last(layer, part))
            tick(number / self.depth)
            del layer  # where layers are read one after another, the next one takes its memory
        return torch.cat(pooled), torch.cat([_means(part) for part in parts])

    def _embedded(self, asked: Sequence[Asked]) -> _Part:
        packed = pack(asked, self.device)
        x = F.embedding(packed.ids, self.token_embedding).float()
        return _Part(packed, x.add_(F.embedding(packed.positions, self.position_embedding)))

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


def _means(part: _Part) -> Tensor:
    return F.embedding_bag(part.packed.sets, part.x, part.packed.offsets, mode="mean")


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
