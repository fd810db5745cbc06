"""The two text encoders as the rest of tagflow sees them: windows of token ids in, NumPy vectors out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from tagflow.encoders.checkpoint import POSITIONS, VOCABULARY
from tagflow.encoders.lines import Line, Shelf, View, flat, view
from tagflow.errors import EncoderError

if TYPE_CHECKING:
    from tagflow.encoders.tower import Tower

Item = TypeVar("Item")
Floats = npt.NDArray[np.float32]
Window = tuple[int, ...]
# Tokens computed at once: matrix products are at full speed, and activations stay near the caches
# (CPU, see benchmarks/encoders.py) or well below a small card's memory (GPU).
TOKENS_AT_ONCE = {"cpu": 1024, "cuda": 16384}


@dataclass(frozen=True, slots=True)
class Vectors:
    """What one encoder makes of one window; both arrays are float32 and read-only.

    pooled (projection width,): the final layer norm's output at the first EOS, or at position 0 in a
    window without one, as the trainer pools (its te2 can be given such a window). For te2 it is then
    multiplied by text_projection, and is what SDXL's U-Net is given. For te1 it is a proxy: SDXL
    does not use te1's pooled vector (its U-Net sees te1's hidden states only).
    hidden (tokens, width): the state after layer n - 1 of n, no final norm, a row for each token of
    the window, BOS and EOS included; this is what the U-Net's cross-attention is given.
    """

    pooled: Floats
    hidden: Floats


class TextEncoder:
    """te1 or te2. `width` and `layers` are its sizes, `name` is `te1` or `te2`.

    encoded, cached: how many windows of lines were computed, and how many the cache made needless.
    """

    def __init__(self, name: str, tower: Tower) -> None:
        self.name = name
        self.width = int(tower.token_embedding.shape[1])
        self.layers = len(tower.layers)
        self.encoded = self.cached = 0
        self._tower = tower
        self._shelf: Shelf | None = None

    def keep_on(self, shelf: Shelf) -> None:
        """Take from a shelf what lies there, from now on, and put there what is made."""
        self._shelf = shelf

    def view(self, lines: Sequence[Line]) -> list[View]:
        """Return what the encoder makes of each line, in the order given; equal lines are computed once.

        Raises what `encode` raises.
        """
        distinct = sorted(set(lines), key=lambda line: line.windows)
        found = self._shelf.get(distinct) if self._shelf else {}
        self.cached += sum(len(line.windows) for line in found)
        missing = [line for line in distinct if line not in found]
        for batch in _batches(missing, self._at_once(), lambda line: line.tokens):
            made = self._flat(batch)
            if self._shelf:
                self._shelf.put(made)
            found.update(made)
        return [view(line, found[line], self.width) for line in lines]

    def _flat(self, batch: list[Line]) -> dict[Line, Floats]:
        vectors = iter(self.encode([window for line in batch for window in line.windows]))
        self.encoded += sum(len(line.windows) for line in batch)
        return {line: flat(line, [next(vectors) for _ in line.windows]) for line in batch}

    def _at_once(self) -> int:
        return TOKENS_AT_ONCE[self._tower.token_embedding.device.type]

    def encode(self, windows: Sequence[Sequence[int]]) -> list[Vectors]:
        """Return the vectors of each window, in the order given; equal windows are computed once.

        A window is its token ids with BOS and EOS, 1 to 77 of them; nothing after it is computed.
        Raises EncoderError if a vector is not finite or the device's memory does not suffice, and
        ValueError if a window is empty, too long, or holds ids outside the vocabulary.
        """
        wanted = [tuple(map(int, window)) for window in windows]
        distinct = sorted(set(wanted))  # neighbours begin alike, and the tower computes that once
        for window in distinct:
            _check(window)
        found: dict[Window, Vectors] = {}
        for batch in _batches(distinct, self._at_once(), len):
            batch.sort(key=len)
            found.update(zip(batch, self._vectors(batch), strict=True))
        return [found[window] for window in wanted]

    def _vectors(self, batch: list[Window]) -> Iterator[Vectors]:
        """Yield the vectors of a batch; those of one batch are views of two arrays."""
        hidden, pooled = self._computed(batch)
        if not (np.isfinite(hidden).all() and np.isfinite(pooled).all()):
            raise EncoderError(
                f"{self.name} gave NaN or Inf for one of {len(batch)} token windows",
                "use dtype fp32; if it is fp32 already, the checkpoint is damaged",
            )
        hidden.flags.writeable = pooled.flags.writeable = False
        ends = np.cumsum([len(window) for window in batch])[:-1]
        for states, vector in zip(np.split(hidden, ends), pooled, strict=True):
            yield Vectors(pooled=vector, hidden=states)

    def _computed(self, batch: list[Window]) -> tuple[Floats, Floats]:
        try:
            hidden, pooled = self._tower(batch)
            return hidden.cpu().numpy(), pooled.cpu().numpy()
        except (RuntimeError, MemoryError) as error:
            if not is_memory(error):
                raise
            raise EncoderError(
                f"{self.name}: the device's memory does not suffice", "use device cpu"
            ) from error


@dataclass
class EncoderPair:
    """Both encoders, and what an audit must record of them.

    fingerprint: sha256 (hex) over the text tensors' names, types, shapes and bytes; `stand-in:...`
    for the stand-in. source: as the user gave it. trained: False only for the stand-in, with which
    nothing is ever certified. dtype: fp32, bf16 or fp16. device: cpu or cuda:n.
    tokenizer_folder: a diffusers folder's own tokenizer, if the source is one.
    """

    te1: TextEncoder
    te2: TextEncoder
    fingerprint: str
    source: str
    trained: bool
    dtype: str
    device: str
    tokenizer_folder: Path | None

    def windows(self) -> tuple[int, int]:
        """How many windows of lines were encoded so far and how many the cache made needless, in both."""
        return self.te1.encoded + self.te2.encoded, self.te1.cached + self.te2.cached


def is_memory(error: Exception) -> bool:
    """Say whether `error` means too little memory; torch raises a plain RuntimeError for the CPU's."""
    return isinstance(error, MemoryError) or "memory" in str(error).lower()


def _check(window: Window) -> None:
    if not 1 <= len(window) <= POSITIONS:
        raise ValueError(f"a window of {len(window)} token ids; 1 to {POSITIONS} are possible")
    if min(window) < 0 or max(window) >= VOCABULARY:
        raise ValueError(f"token ids are 0 to {VOCABULARY - 1}, got {min(window)} to {max(window)}")


def _batches(items: Sequence[Item], tokens: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Yield `items` in order, in batches of at most `tokens` token ids (at least one item)."""
    batch: list[Item] = []
    total = 0
    for item in items:
        if batch and total + size(item) > tokens:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size(item)
    if batch:
        yield batch
