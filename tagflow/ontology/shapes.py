"""Shapes as automata: their positions, and the repeats in them that would take for ever.

Each shape becomes a position automaton (Glushkov 1961). A set of positions is an integer with one bit a
position.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(r"\[[^][^\\-]+\]|\.|\((?:\?P<part>)?|\)|\||[*+?](?:\?|(?!\+))")


class Piece(NamedTuple):
    """A part of a shape: whether it fits nothing at all, and the positions it may begin and end with."""

    empty: bool
    first: int
    last: int


_NOTHING = Piece(True, 0, 0)


def bits(positions: int) -> Iterator[int]:
    """Yield the positions of a set."""
    while positions:
        low = positions & -positions
        yield low.bit_length() - 1
        positions ^= low


class Positions:
    """The positions of shapes: what each one fits (None: every label), and which ones may follow it."""

    def __init__(self) -> None:
        self.fits: list[str | None] = []
        self.follow: list[int] = []

    def read(self, pattern: str) -> Piece:
        """Add a pattern made by `compile_shape`. Raises ValueError for any other."""
        tokens = deque(match[0] for match in _TOKEN.finditer(pattern))
        if "".join(tokens) != pattern:  # as with `*+`, which gives nothing back and so fits less than it says
            raise ValueError(f"{pattern!r} is no plain shape")
        return self._choice(tokens)

    def letters(self, alphabet: str) -> dict[int, str]:
        """Return the sets of positions that a label fits, each with one label; the rest behave like it."""
        sets: dict[int, str] = {}
        for letter in alphabet:
            fitting = (at for at, letters in enumerate(self.fits) if letters is None or letter in letters)
            sets.setdefault(sum(1 << at for at in fitting), letter)
        return sets

    def link(self, ends: int, starts: int) -> None:
        """Let each of `starts` follow each of `ends`."""
        for at in bits(ends):
            self.follow[at] |= starts

    def clash(self, positions: int) -> bool:
        """Say whether one label fits two of `positions`."""
        fits = [self.fits[at] for at in bits(positions)]
        every = "".join(letters or "" for letters in fits)
        return (None in fits and len(fits) > 1) or len(set(every)) < sum(len(set(one or "")) for one in fits)

    def _choice(self, tokens: deque[str]) -> Piece:
        one = self._sequence(tokens)
        while tokens and tokens[0] == "|":
            tokens.popleft()
            two = self._sequence(tokens)
            one = Piece(one.empty or two.empty, one.first | two.first, one.last | two.last)
        return one

    def _sequence(self, tokens: deque[str]) -> Piece:
        one = _NOTHING
        while tokens and tokens[0] not in ("|", ")"):
            two = self._repeated(tokens)
            self.link(one.last, two.first)
            first = one.first | two.first if one.empty else one.first
            one = Piece(one.empty and two.empty, first, one.last | two.last if two.empty else two.last)
        return one

    def _repeated(self, tokens: deque[str]) -> Piece:
        piece = self._item(tokens)
        if tokens and tokens[0][0] in "*+?":
            sign = tokens.popleft()[0]
            if sign != "?":
                self.link(piece.last, piece.first)
            piece = piece._replace(empty=piece.empty or sign != "+")
        return piece

    def _item(self, tokens: deque[str]) -> Piece:
        sign = tokens.popleft()
        if sign.startswith("("):
            piece = self._choice(tokens)
            tokens.popleft()
            return piece
        self.fits.append(None if sign == "." else sign[1:-1])
        self.follow.append(0)
        position = 1 << len(self.fits) - 1
        return Piece(False, position, position)


def why_slow(pattern: str) -> str:
    """Say why a pattern made by `compile_shape` may take for ever; empty where it does not.

    Python's `re` tries every way to part a phrase among the rounds of a repeat. One way is all there is
    where a round is of names alone and a label never fits two places that may come next.
    """
    for group in _repeats(pattern.replace("?P<part>", "")):
        positions = Positions()
        piece = positions.read(group)
        if re.search(r"[*+?]", group) or re.search(r"[(|][|)]", group):
            return "within a group that is repeated nothing may be repeated or left out"
        positions.link(piece.last, piece.first)
        if any(positions.clash(nexts) for nexts in (piece.first, *positions.follow)):
            return "within a group that is repeated a label may fit one of the names in each place only"
    return ""


def _repeats(pattern: str) -> Iterator[str]:
    """Yield the groups of a pattern that are repeated, brackets and all."""
    opened: list[int] = []
    for at, sign in enumerate(pattern):
        if sign == "(":
            opened.append(at)
        elif sign == ")":
            start = opened.pop()
            if pattern[at + 1 : at + 2] in ("*", "+"):
                yield pattern[start : at + 1]
