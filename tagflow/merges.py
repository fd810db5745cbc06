"""CLIP's byte-pair encoding as data: merges by rank, the tokens they make, the digests they must have."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import NamedTuple

SIZE, MERGES = 49_408, 48_894
SPECIAL = {"<|startoftext|>": 49_406, "<|endoftext|>": 49_407}
MERGES_DIGEST = "f61f2adf497e6f5357c347aeb4646fabe82f341e946de5bdec5d2858e41bef4a"
DIGEST = "05f6f898f4f9c824c37b7dcacccc3d2e3ebab7b5a76de05da606127062a08e0e"
_MOST_STRETCHES = 400_000  # twice as many as may be looked up before the whole vocabulary is the faster way


@dataclass(frozen=True)
class Vocabulary:
    """CLIP's byte-pair encoding: the merges by rank, `left right` each, and the file they were read from."""

    lines: list[str] = field(repr=False)
    source: str

    @cached_property
    def vocab(self) -> dict[str, int]:
        """Token -> id, all of them."""
        return derive("\n".join(["", *self.lines]))[0]

    @cached_property
    def merges(self) -> list[tuple[str, str]]:
        """The merges by rank."""
        return [(left, right) for left, _, right in (line.partition(" ") for line in self.lines)]

    def part(self, pieces: Collection[str]) -> Vocabulary | Part:
        """Return what is enough to encode these pieces; all of it where they are very long or many.

        A merge joins neighbours within a piece, so what it makes is a stretch of that piece; a piece has
        half the square of its length of them.
        """
        if sum(len(piece.encode()) ** 2 for piece in pieces) > _MOST_STRETCHES:
            return self
        joined = "\n".join(self.lines).replace(" ", "").split("\n")
        ranks = dict(zip(joined, range(MERGES), strict=True))
        stretches = set(chain.from_iterable(map(_stretches, pieces)))
        found = sorted(map(ranks.__getitem__, stretches & ranks.keys()))
        merges = [self.lines[rank].split(" ") for rank in found]
        letters = _alphabet()
        vocab = dict(zip(letters, range(len(letters)), strict=True)) | {
            joined[rank]: len(letters) + rank for rank in found
        }
        return Part(vocab, [(left, right) for left, right in merges])


class Part(NamedTuple):
    """Some of a vocabulary, under the ids of the whole."""

    vocab: dict[str, int]
    merges: list[tuple[str, str]]


def _stretches(piece: str) -> Iterator[str]:
    """Every stretch of a piece's bytes, and those at its end with the mark that stands there."""
    text = "".join(map(_BYTES.__getitem__, piece.encode()))
    for start in range(len(text)):
        yield text[start:] + "</w>"
        for end in range(start + 2, len(text) + 1):
            yield text[start:end]


def digest(vocab: dict[str, int], merges: Sequence[tuple[str, str]]) -> str:
    """Return the sha256 of the canonical form: tokens by id, an empty line, merges by rank, one a line."""
    tokens = sorted(vocab, key=vocab.__getitem__)
    lines = [*tokens, "", *map(" ".join, merges)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def derive(text: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return (vocab, merges) from the text of a merges file, as CLIP's authors number the tokens."""
    lines = (line.rstrip("\r").partition(" ") for line in merge_lines(text))
    merges = [(left, right) for left, _, right in lines]
    tokens = [*_alphabet(), *map("".join, merges), *SPECIAL]
    return dict(zip(tokens, range(len(tokens)), strict=True)), merges


def merge_lines(text: str) -> list[str]:
    """Return the lines of the merges that are used; the first line is a header."""
    return text.split("\n", MERGES + 1)[1 : MERGES + 1]


def _alphabet() -> list[str]:
    """Return the tokens of single bytes in the order that numbers them: inside a word, then at its end."""
    return [*_BYTES.values(), *(character + "</w>" for character in _BYTES.values())]


def byte_characters() -> dict[int, str]:
    """Return byte -> the printable character that stands for it, in the order that numbers the tokens."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


_BYTES = byte_characters()


def what_is_wrong(vocab: dict[str, int], merges: list[tuple[str, str]]) -> str:
    """Return why this is not CLIP's vocabulary, or an empty string."""
    if len(merges) != MERGES:
        return f"{len(merges)} merges instead of {MERGES}"
    if len(vocab) != SIZE or sorted(vocab.values()) != list(range(SIZE)):
        return f"{len(vocab)} entries instead of {SIZE} numbered from 0"
    for token, number in SPECIAL.items():
        if vocab.get(token) != number:
            return f"{token} has the id {vocab.get(token)} instead of {number}"
    return "" if digest(vocab, merges) == DIGEST else "its entries are not CLIP's"
