"""Which rules of a table no phrase gets to; open it for `rule-unreachable`, or a shape that takes too long.

Rules above them take every phrase that they fit. A shape is a regular expression over labels, so this is a
question of languages: a rule is out of reach when its language lies within the union of those above it. Each
shape becomes a position automaton (Glushkov 1961), which also shows the repeats that would take for ever.
Pairs of one position of the rule and a set of positions of the rules above are searched breadth first, and a
pair is dropped when one met before asks less of the rules above (antichains: De Wulf, Doyen, Henzinger and
Raskin 2006). A set of positions is an integer with one bit a position.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from tagflow.ontology.grammar import Rule

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
            two = self._item(tokens)
            if tokens and tokens[0][0] in "*+?":
                sign = tokens.popleft()[0]
                if sign != "?":
                    self.link(two.last, two.first)
                two = two._replace(empty=two.empty or sign != "+")
            self.link(one.last, two.first)
            first = one.first | two.first if one.empty else one.first
            one = Piece(one.empty and two.empty, first, one.last | two.last if two.empty else two.last)
        return one

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


LIMIT = 3000  # pairs looked at for one rule; the shipped tables need fewer than a hundred


class Reach(NamedTuple):
    """Whether a rule can be reached.

    witness: a shortest shape that no rule above takes, as label codes; of a reachable rule only.
    above: the numbers of the rules that leave nothing over; of an unreachable rule only.
    """

    state: Literal["reachable", "unreachable", "undecided"]
    witness: str = ""
    above: tuple[int, ...] = ()


def reach(rules: Sequence[Rule], alphabet: str) -> list[Reach]:
    """Return for each of `rules`, in their order, whether a shape over `alphabet` (label codes) gets to it.

    Only a rule with a category keeps a shape from those below: one with a part may decline. A rule whose
    pattern stands above word for word is out of reach, too, for it would decline as that one did. A rule
    is undecided when its search grows beyond LIMIT, or when a pattern is no plain shape.
    """
    table = _Table(rules, alphabet)
    seen: dict[str, int] = {}
    return [
        Reach("unreachable", above=(first,))
        if (first := seen.setdefault(rule.pattern.pattern, at)) != at
        else table.search(at)
        for at, rule in enumerate(rules)
    ]


class _Table:
    """The rules as automata, ready to be searched one by one."""

    def __init__(self, rules: Sequence[Rule], alphabet: str) -> None:
        self._rules = rules
        self._positions = Positions()
        self._pieces: list[Piece | None] = []
        self._owner: list[int] = []  # the rule of each position
        for at, rule in enumerate(rules):
            try:
                self._pieces.append(self._positions.read(rule.pattern.pattern))
            except ValueError:
                self._pieces.append(None)
            self._owner += [at] * (len(self._positions.fits) - len(self._owner))
        self._letters = self._positions.letters(alphabet)

    def search(self, at: int) -> Reach:
        """Look for a shape that the rule at `at` fits and no rule with a category above it does."""
        piece = self._pieces[at]
        if piece is None:
            return Reach("undecided")
        above = {n: p for n, p in enumerate(self._pieces[:at]) if p and self._rules[n].category}
        found = _Search(piece, above, self._positions.follow, self._letters, self._loops()).run()
        # A rule above that could not be read as an automaton may take the shape.
        strange = (rule for rule, one in zip(self._rules[:at], self._pieces, strict=False) if one is None)
        if found.state == "reachable" and any(
            rule.category and rule.pattern.fullmatch(found.witness) for rule in strange
        ):
            return Reach("undecided")
        owners = {self._owner[position] for position in found.above}
        return found._replace(above=tuple(sorted(owners)))

    def _loops(self) -> int:
        """Return the positions of `any*` and `any+` that end a rule: once there, all that follows fits."""
        ends = 0
        for piece in self._pieces:
            ends |= piece.last if piece else 0
        fits, follow = self._positions.fits, self._positions.follow
        return sum(1 << p for p in bits(ends) if fits[p] is None and follow[p] >> p & 1)


class _Search:
    """One breadth-first search. `above` in what it returns are positions, one of each rule that mattered."""

    def __init__(
        self,
        piece: Piece,
        above: Mapping[int, Piece],
        follow: Sequence[int],
        letters: Mapping[int, str],
        loops: int,
    ) -> None:
        self._piece = piece
        self._above = above
        self._follow = follow
        self._letters = letters
        self._loops = loops
        self._ends = 0
        for one in above.values():
            self._ends |= one.last
        self._takers = 0
        self._least: dict[int, list[int]] = {}  # for each position, the sets met with it that ask least

    def run(self) -> Reach:
        """Return what the search found."""
        start = 0
        for one in self._above.values():
            start |= one.first
        if self._piece.empty:
            taker = next((one for one in self._above.values() if one.empty), None)
            if taker is None:
                return Reach("reachable")
            self._takers |= taker.first & -taker.first
        queue = deque([(self._piece.first, start, "")])
        for _ in range(LIMIT):
            if not queue:
                return Reach("unreachable", above=tuple(bits(self._takers)))
            nexts, others, shape = queue.popleft()
            for fitting, letter in self._letters.items():
                for position in bits(nexts & fitting):
                    if self._is_free(position, others & fitting):
                        return Reach("reachable", shape + letter)
                    if self._is_new(position, others & fitting):
                        queue.append((self._follow[position], self._after(others & fitting), shape + letter))
        return Reach("undecided")

    def _is_free(self, position: int, others: int) -> bool:
        if not self._piece.last >> position & 1:
            return False
        takers = others & self._ends
        self._takers |= takers & -takers
        return not takers

    def _is_new(self, position: int, others: int) -> bool:
        """Say whether a pair may lead further than those met before it."""
        if loops := others & self._loops:
            self._takers |= loops & -loops
            return False
        least = self._least.setdefault(position, [])
        if any(one & others == one for one in least):
            return False
        least[:] = [one for one in least if one & others != others]
        least.append(others)
        return True

    def _after(self, others: int) -> int:
        """The positions that may follow any of `others`."""
        after = 0
        for at in bits(others):
            after |= self._follow[at]
        return after
