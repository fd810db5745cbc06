"""From a plan to a tower in memory: every tensor is read once, checked, hashed, converted and let go.

A checkpoint is memory-mapped, and opened anew for each layer: the pages that were touched leave the
process when the map is closed, so that the peak is the loaded weights and one layer's file pages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tagflow.encoders.checkpoint import Plan
from tagflow.encoders.header import CURE_AGAIN, Entry
from tagflow.encoders.tower import ACTIVATIONS, Layer, Linear, Norm, Tower
from tagflow.errors import EncoderError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Small, and worth their digits: these stay float32 whatever the dtype.
PRECISE = ("norm", "norm1", "norm2", "projection", "position")
MOST_EMPTY_ROWS = 0.01  # a share; trained matrices have none
Slots = Mapping[str, tuple[Entry, ...]]


class Reader:
    """Reads towers in one dtype onto one device, and keeps a digest of every tensor that it read."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype = dtype
        self._device = device
        self._digests: list[str] = []

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of all tensors read: tower, key, type, shape, bytes; in any order."""
        return hashlib.sha256("".join(sorted(self._digests)).encode()).hexdigest()

    def tower(self, plan: Plan) -> Tower:
        """Return the tower of `plan`. Raises EncoderError if a weight is not finite or cannot be read."""
        outside = self._read(plan, "")
        projection = outside.get("projection")
        if projection is not None and plan.linear_projection:
            projection = projection.T.contiguous()
        return Tower(
            token_embedding=outside["token_embedding"],
            position_embedding=outside["position_embedding"],
            layers=tuple(_layer(self._read(plan, f"layers.{i}.")) for i in range(plan.layers)),
            norm=_norm(outside, "norm"),
            projection=projection,
            activation=ACTIVATIONS[plan.name],
        )

    def _read(self, plan: Plan, prefix: str) -> dict[str, Tensor]:
        """Return the tensors of one layer, or with no prefix those outside the layers, by short name."""
        slots = {
            slot.removeprefix(prefix): entries
            for slot, entries in plan.slots.items()
            if slot.startswith(prefix or ("token", "position", "norm", "projection"))
        }
        paths = {entry.path for entries in slots.values() for entry in entries}
        try:
            with ExitStack() as stack:
                # Any: safetensors does not type what `safe_open` gives.
                files: dict[Any, Any] = {
                    path: stack.enter_context(safe_open(path, framework="pt", device="cpu")) for path in paths
                }
                return {slot: self._slot(plan.name, slot, entries, files) for slot, entries in slots.items()}
        except (OSError, SafetensorError) as error:
            raise EncoderError(f"{sorted(paths)[0]} cannot be read: {error}", CURE_AGAIN) from error

    def _slot(self, tower: str, slot: str, entries: tuple[Entry, ...], files: Mapping[Any, Any]) -> Tensor:
        """Return one slot: its tensors stacked by rows, in memory of its own."""
        rows = sum(entry.shape[0] for entry in entries)
        dtype = torch.float32 if slot.partition("_")[0] in PRECISE else self._dtype
        stacked = torch.empty((rows, *entries[0].shape[1:]), dtype=dtype, device=self._device)
        for entry, part in zip(entries, stacked.chunk(len(entries)), strict=True):
            source: Tensor = files[entry.path].get_tensor(entry.key)
            _refuse_unless_finite(source, entry, "holds NaN or Inf", CURE_AGAIN)
            _refuse_holes(source, entry)
            self._digests.append(_digest(tower, entry, source))
            part.copy_(source)
        if dtype == torch.float16:
            _refuse_unless_finite(stacked, entries[0], "is too large for fp16", "use dtype fp32 or bf16")
        return stacked


def _refuse_unless_finite(tensor: Tensor, entry: Entry, problem: str, cure: str) -> None:
    if not all(torch.isfinite(end) for end in torch.aminmax(tensor)):
        raise EncoderError(f"{entry.path}: {entry.key} {problem}", cure)


def _refuse_holes(tensor: Tensor, entry: Entry) -> None:
    """Refuse a matrix with many rows of zeros: a file that was preallocated and never wholly downloaded."""
    if tensor.dim() == 2 and (~tensor.any(dim=1)).float().mean() > MOST_EMPTY_ROWS:
        raise EncoderError(f"{entry.path}: {entry.key} has holes, rows that are all zero", CURE_AGAIN)


def _digest(tower: str, entry: Entry, source: Tensor) -> str:
    content = hashlib.sha256(source.contiguous().view(torch.uint8).numpy().data).hexdigest()
    return f"{tower}/{entry.key} {entry.dtype} {list(entry.shape)} {content}\n"


def _norm(tensors: Mapping[str, Tensor], name: str) -> Norm:
    return Norm(tensors[f"{name}_weight"], tensors[f"{name}_bias"])


def _linear(tensors: Mapping[str, Tensor], name: str) -> Linear:
    return Linear(tensors[f"{name}_weight"], tensors[f"{name}_bias"])


def _layer(tensors: Mapping[str, Tensor]) -> Layer:
    return Layer(
        norm1=_norm(tensors, "norm1"),
        qkv=_linear(tensors, "qkv"),
        out=_linear(tensors, "out"),
        norm2=_norm(tensors, "norm2"),
        up=_linear(tensors, "up"),
        down=_linear(tensors, "down"),
    )
