"""Both encoders as others see them: lines in, vectors out; open it for what a line is and what is kept of it.

The hidden states of a window of 77 tokens are 630 kB in both encoders; similarities need the pooled vectors
and each tag's mean state, a third of that. Those are kept, exactly, under a key of what they were made from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from tagflow.clip.tokenizer import WINDOW
from tagflow.encoders.layout import POSITIONS, VOCABULARY
from tagflow.progress import Progress, silent

if TYPE_CHECKING:
    from tagflow.encoders.cache import VectorCache
    from tagflow.encoders.compute import Compute
    from tagflow.encoders.packing import EncodeRequest


Floats = npt.NDArray[np.float32]
RECIPE = 2  # raise it whenever tower or weights come to give other numbers: old values are not found then


@dataclass(frozen=True, slots=True)
class Line:
    """A line's windows of token ids (BOS and EOS included), and each tag's token indices.

    Token `i` of the line is id `1 + i % 75` of window `i // 75`; indices that lie in no window are not read.
    """

    windows: tuple[tuple[int, ...], ...]
    tags: tuple[tuple[int, ...], ...]

    @property
    def tokens(self) -> int:
        """How many token ids an encoder computes for the line."""
        return sum(map(len, self.windows))

    @property
    def places(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Where the tokens of each tag are read, as (window, place in it); without tags that are not."""
        return tuple(places for places in self._read() if places)

    @property
    def read(self) -> list[bool]:
        """For each tag whether any of its tokens is read."""
        return [bool(places) for places in self._read()]

    def _read(self) -> Iterator[tuple[tuple[int, int], ...]]:
        for tag in self.tags:
            at = ((index // WINDOW, 1 + index % WINDOW) for index in tag)
            yield tuple((n, i) for n, i in at if n < len(self.windows) and i < len(self.windows[n]))


@dataclass(frozen=True, slots=True)
class EncodedLine:
    """What an encoder makes of a line: the pooled vector of window 1, and each tag's mean hidden state.

    float32, (width,) each; see `Vectors` for what they are. A tag of which no token is read has None.
    """

    pooled: Floats
    tags: tuple[Floats | None, ...]


@dataclass(frozen=True, slots=True)
class EncoderCache:
    """One encoder's place in the cache. `label`: what its numbers depend on beside the line."""

    cache: VectorCache
    label: str

    def get(self, lines: Sequence[Line]) -> dict[Line, Floats]:
        """Return what is kept of these lines, flat."""
        keys = {self.key(line): line for line in lines}
        found = self.cache.get(list(keys))
        return {keys[key]: np.frombuffer(value, "<f4").astype(np.float32) for key, value in found.items()}

    def put(self, made: dict[Line, Floats]) -> None:
        """Keep flat vectors of lines."""
        self.cache.put({self.key(line): flat.astype("<f4").tobytes() for line, flat in made.items()})

    def key(self, line: Line) -> bytes:
        """Return the sha256 of the label and the line, written as JSON, which reads in one way only."""
        return hashlib.sha256(json.dumps([self.label, line.windows, line.tags]).encode()).digest()


def label(*facts: str) -> str:
    """What numbers depend on beside the line, for an `EncoderCache`: `facts` in order, and the recipe."""
    return json.dumps([RECIPE, *facts])


def view(line: Line, kept: Floats, width: int) -> EncodedLine:
    """Return the view that `kept` is the flat form of; `width` is the encoder's."""
    read = line.read
    end = len(kept) - width * sum(read)
    means = iter(kept[end:].reshape(-1, width))
    return EncodedLine(kept[:end], tuple(next(means) if one else None for one in read))


Item = TypeVar("Item", bound="EncodeRequest")
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


@dataclass(frozen=True, slots=True)
class _Everywhere:
    """Windows over all places of which the mean state is wanted: an `EncodeRequest`."""

    windows: tuple[Window, ...]

    @property
    def places(self) -> tuple[tuple[tuple[int, int], ...]]:
        return (tuple((n, i) for n, window in enumerate(self.windows) for i in range(len(window))),)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.windows))


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
        self._whole: EncoderCache | None = None

    @cached_property
    def common_direction(self) -> float:
        """How much its token embeddings share, see `Tower`; about 1 where chance drew the weights.

        Computed when it is asked for, from the largest matrix of the encoder.
        """
        return self._compute.common_direction()

    def keep_on(self, shelf: EncoderCache, whole: EncoderCache) -> None:
        """Take from shelves what lies there, from now on, and put there what is made: views, and means."""
        self._shelf, self._whole = shelf, whole

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

    def mean_states(self, lines: Sequence[tuple[Window, ...]], progress: Progress = silent) -> list[Floats]:
        """Return (width,) of each line: the mean over all places of all its windows, float32.

        Of the states after the last layer and the final norm, as the trainer pads the windows. Equal lines
        are computed once, and so are beginnings that windows share, a whole window of padding among them.
        """
        distinct = [_Everywhere(windows) for windows in sorted(set(lines))]
        kept = self._whole.get([Line(one.windows, ()) for one in distinct]) if self._whole else {}
        found = {line.windows: flat for line, flat in kept.items()}
        self.cached += sum(map(len, found))
        missing = [one for one in distinct if one.windows not in found]
        for batch, _, means in self._made(missing, progress, final=True):
            made = {one.windows: mean for one, mean in zip(batch, means, strict=True)}
            self.encoded += sum(map(len, made))
            if self._whole:
                self._whole.put({Line(windows, ()): mean for windows, mean in made.items()})
            found.update(made)
        return [found[windows] for windows in lines]

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

    def _made(
        self, asked: Sequence[Item], progress: Progress, *, final: bool = False
    ) -> Iterator[tuple[list[Item], Floats, Floats]]:
        for window in (window for one in asked for window in one.windows):
            if not 1 <= len(window) <= POSITIONS:
                raise ValueError(f"a window of {len(window)} token ids; 1 to {POSITIONS} are possible")
            if min(window) < 0 or max(window) >= VOCABULARY:
                raise ValueError(f"token ids are 0 to {VOCABULARY - 1}, got {min(window)} to {max(window)}")
        return self._compute(asked, progress, final=final)


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
