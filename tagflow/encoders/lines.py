"""One line of a caption as an encoder is given it, and what is kept of the answer.

The hidden states of a window of 77 tokens are 630 kB in both encoders; similarities need the pooled vectors
and each tag's mean state, a third of that. Those are kept, exactly, under a key of what they were made from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tagflow.clip.tokenizer import WINDOW

if TYPE_CHECKING:
    from tagflow.encoders.cache import VectorCache

NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")


def is_memory(error: Exception) -> bool:
    """Say whether `error` means too little memory; torch raises a plain RuntimeError for the CPU's.

    An illegal memory access is none of these.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error).lower()
    return any(words in said for words in NO_MEMORY)


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
