"""A tower's tensors read from a checkpoint; open it when one is called damaged, or for a fingerprint.

Each tensor is read once, checked, hashed, converted and let go. A checkpoint is memory-mapped, and opened
anew for each layer: the pages that were touched leave the process when the map is closed, so that the peak is
the loaded weights and one layer's file pages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tagflow.encoders.layout import TowerPlan
from tagflow.encoders.tower import ACTIVATIONS, Layer, Linear, Norm, Tower
from tagflow.errors import EncoderError
from tagflow.files.safetensors import CURE_AGAIN, Entry

# Small, and worth their digits: these stay float32 whatever the dtype.
PRECISE = ("norm", "norm1", "norm2", "projection", "position")
FILE_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
MOST_EMPTY_ROWS = 0.01  # a share; trained matrices have none


class Reader:
    """Reads towers in one dtype onto one device, checks every tensor and keeps a digest of it.

    again: what is read was checked and hashed before, and is only read.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device, *, again: bool = False) -> None:
        self._dtype = dtype
        self._device = device
        self._again = again
        self._digests: list[str] = []

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of all tensors read: tower, key, type, shape, bytes; in any order."""
        return hashlib.sha256("".join(sorted(self._digests)).encode()).hexdigest()

    def tower(self, plan: TowerPlan) -> Tower:
        """Return the tower of `plan`. Raises EncoderError if a weight is not finite or cannot be read."""
        outside = self._read(plan, "")
        projection = outside.get("projection")
        if projection is not None and plan.linear_projection:
            projection = projection.T.contiguous()
        layers = [self.layer(plan, number).packed() for number in range(plan.layers - 1)]
        return Tower(
            token_embedding=outside["token_embedding"],
            position_embedding=outside["position_embedding"],
            layers=(*layers, self.layer(plan, plan.layers - 1)),  # of the last one only some rows are used
            depth=plan.layers,
            norm=_norm(outside, "norm"),
            projection=projection,
            activation=ACTIVATIONS[plan.name],
            device=self._device,
        )

    def layer(self, plan: TowerPlan, number: int) -> Layer:
        """Return one layer of `plan`. Raises what `tower` raises."""
        tensors = self._read(plan, f"layers.{number}.")
        return Layer(
            norm1=_norm(tensors, "norm1"),
            qkv=_linear(tensors, "qkv"),
            out=_linear(tensors, "out"),
            norm2=_norm(tensors, "norm2"),
            up=_linear(tensors, "up"),
            down=_linear(tensors, "down"),
        )

    def _read(self, plan: TowerPlan, prefix: str) -> dict[str, Tensor]:
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
        if slot == "token_embedding":  # in the file's type: of the largest matrix few rows are read
            dtype = FILE_DTYPES[entries[0].dtype]
        stacked = torch.empty((rows, *entries[0].shape[1:]), dtype=dtype, device=self._device)
        for entry, part in zip(entries, stacked.chunk(len(entries)), strict=True):
            source: Tensor = files[entry.path].get_tensor(entry.key)
            if not self._again:
                _refuse_unless_finite(source, entry, "holds NaN or Inf", CURE_AGAIN)
                # A file that was preallocated and never wholly downloaded.
                if source.dim() == 2 and (~source.any(dim=1)).float().mean() > MOST_EMPTY_ROWS:
                    what = f"{entry.path}: {entry.key} has holes, rows that are all zero"
                    raise EncoderError(what, CURE_AGAIN)
                content = hashlib.sha256(source.contiguous().view(torch.uint8).numpy().data).hexdigest()
                shape = list(entry.shape)
                self._digests.append(f"{tower}/{entry.key} {entry.dtype} {shape} {content}\n")
            part.copy_(source)
        if dtype == torch.float16:
            _refuse_unless_finite(stacked, entries[0], "is too large for fp16", "use dtype fp32 or bf16")
        return stacked


class LayersOnDemand:
    """The layers of a tower in fp32, read anew from the file each time that they are gone through.

    So that what a faster dtype leaves open can be settled without the weights in memory twice.
    """

    def __init__(self, plan: TowerPlan, device: torch.device) -> None:
        self._plan = plan
        self._device = device
        self._stats = self._stat()

    def __iter__(self) -> Iterator[Layer]:
        """Yield the layers. Raises EncoderError if a file is not the one that was there at first."""
        reader = Reader(torch.float32, self._device, again=True)
        for number in range(self._plan.layers):
            self._same()
            try:
                layer = reader.layer(self._plan, number)
            except RuntimeError:  # tensors of other shapes: it was replaced since a moment ago
                self._same()
                raise
            yield layer
            del layer  # else it would lie beside the next one
        self._same()

    def _same(self) -> None:
        """Raise EncoderError unless the files are those that were there at first."""
        try:
            same = self._stat() == self._stats
        except OSError:  # it is not there any more
            same = False
        if not same:
            where = sorted(self._stats)[0]
            raise EncoderError(f"{where} was changed while it was in use", "run the command again")

    def _stat(self) -> dict[Path, tuple[int, ...]]:
        paths = {entry.path for entries in self._plan.slots.values() for entry in entries}
        stats = {path: path.stat() for path in paths}
        return {
            path: (one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_ino, one.st_dev)
            for path, one in stats.items()
        }


def _refuse_unless_finite(tensor: Tensor, entry: Entry, problem: str, cure: str) -> None:
    if not all(torch.isfinite(end) for end in torch.aminmax(tensor)):
        raise EncoderError(f"{entry.path}: {entry.key} {problem}", cure)


def _norm(tensors: Mapping[str, Tensor], name: str) -> Norm:
    return Norm(tensors[f"{name}_weight"], tensors[f"{name}_bias"])


def _linear(tensors: Mapping[str, Tensor], name: str) -> Linear:
    return Linear(tensors[f"{name}_weight"], tensors[f"{name}_bias"])
