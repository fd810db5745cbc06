"""The two text encoders as the rest of tagflow sees them: windows of token ids in, NumPy vectors out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from tagflow.encoders.layout import POSITIONS, VOCABULARY
from tagflow.encoders.lines import EncodedLine, EncoderCache, Line, view
from tagflow.progress import Progress, silent

if TYPE_CHECKING:
    from tagflow.encoders.compute import Compute
    from tagflow.encoders.packing import EncodeRequest

Item = TypeVar("Item", bound="EncodeRequest")
Floats = npt.NDArray[np.float32]
Window = tuple[int, ...]
ABOUT = 8  # token ids


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


@dataclass(frozen=True, slots=True)
class _Whole:
    """One window of which every state is wanted: an `EncodeRequest`."""

    windows: tuple[Window]

    @property
    def places(self) -> tuple[tuple[tuple[int, int]], ...]:
        return tuple(((0, place),) for place in range(self.tokens))

    @property
    def tokens(self) -> int:
        return len(self.windows[0])


class TextEncoder:
    """te1 or te2. `width` and `layers` are its sizes, `name` is `te1` or `te2`.

    encoded, cached: how many windows of lines were computed, and how many the cache made needless.
    """

    def __init__(self, name: str, compute: Compute) -> None:
        self.name = name
        self.width = compute.width
        self.layers = compute.depth
        self.encoded = self.cached = 0
        self._compute = compute
        self._shelf: EncoderCache | None = None

    def keep_on(self, shelf: EncoderCache) -> None:
        """Take from a shelf what lies there, from now on, and put there what is made."""
        self._shelf = shelf

    def view(self, lines: Sequence[Line], progress: Progress = silent) -> list[EncodedLine]:
        """Return what the encoder makes of each line, in the order given; equal lines are computed once.

        `progress` is told token ids. Raises what `encode` raises.
        """
        distinct = sorted(set(lines), key=_likeness)
        found = self._shelf.get(distinct) if self._shelf else {}
        self.cached += sum(len(line.windows) for line in found)
        missing = [line for line in distinct if line not in found]
        for batch, pooled, means in self._made(missing, progress):
            # As it is kept: each line's pooled vector and its tags' means, end to end.
            parts = np.split(means, np.cumsum([len(line.places) for line in batch])[:-1])
            flat = (np.concatenate([one, tags.ravel()]) for one, tags in zip(pooled, parts, strict=True))
            made = dict(zip(batch, flat, strict=True))
            self.encoded += sum(len(line.windows) for line in batch)
            if self._shelf:
                self._shelf.put(made)
            found.update(made)
        return [view(line, found[line], self.width) for line in lines]

    def encode(self, windows: Sequence[Sequence[int]], progress: Progress = silent) -> list[Vectors]:
        """Return every state of each window, in the order given; equal windows are computed once.

        A window is its token ids with BOS and EOS, 1 to 77 of them; nothing after it is computed. Nothing is
        taken from the cache. `progress` is told token ids.
        Raises EncoderError if a vector is not finite or the device's memory does not suffice, and
        ValueError if a window is empty, too long, or holds ids outside the vocabulary.
        """
        wanted = [_Whole((tuple(map(int, window)),)) for window in windows]
        found: dict[_Whole, Vectors] = {}
        for batch, pooled, hidden in self._made(sorted(set(wanted), key=_likeness), progress):
            hidden.flags.writeable = pooled.flags.writeable = False
            ends = np.cumsum([one.tokens for one in batch])[:-1]
            for one, vector, states in zip(batch, pooled, np.split(hidden, ends), strict=True):
                found[one] = Vectors(pooled=vector, hidden=states)
        return [found[one] for one in wanted]

    def _made(self, asked: Sequence[Item], progress: Progress) -> Iterator[tuple[list[Item], Floats, Floats]]:
        for window in (window for one in asked for window in one.windows):
            if not 1 <= len(window) <= POSITIONS:
                raise ValueError(f"a window of {len(window)} token ids; 1 to {POSITIONS} are possible")
            if min(window) < 0 or max(window) >= VOCABULARY:
                raise ValueError(f"token ids are 0 to {VOCABULARY - 1}, got {min(window)} to {max(window)}")
        return self._compute(asked, progress)


@dataclass
class EncoderPair:
    """Both encoders, and what an audit must record of them.

    fingerprint: sha256 (hex) over the text tensors' names, types, shapes and bytes; `stand-in:...`
    for the stand-in. source: as the user gave it. trained: False only for the stand-in, with which
    nothing is ever certified. dtype: fp32, bf16 or fp16. device: cpu, cuda:n, or several with commas.
    tokenizer_folder: a diffusers folder's own tokenizer, if the source is one.
    exact: the same encoders in fp32, where these are not; their weights are read when they are asked.
    """

    te1: TextEncoder
    te2: TextEncoder
    fingerprint: str
    source: str
    trained: bool
    dtype: str
    device: str
    tokenizer_folder: Path | None
    exact: EncoderPair | None = None

    def both(self) -> list[EncoderPair]:
        """The pair, and that in fp32 where it is another one."""
        return [self] if self.exact is None else [self, self.exact]

    def windows(self) -> tuple[int, int]:
        """How many windows of lines were encoded so far and how many the cache made needless, in both."""
        every = [one for pair in self.both() for one in (pair.te1, pair.te2)]
        return sum(one.encoded for one in every), sum(one.cached for one in every)


def _likeness(asked: EncodeRequest) -> tuple[list[int], tuple[Window, ...]]:
    """Sort by this: neighbours are about as long, and begin alike, which is computed once."""
    return [len(window) // ABOUT for window in asked.windows], asked.windows
