"""What must be true of a rewritten caption, told without a word of tagflow's own grammar.

A tag moves whole and is joined to others by commas, and a mark that ends a line or a sentence stays. So
whatever it is, parted at every comma, `|||`, `BREAK` and full stop a line holds the same pieces and marks as
before. That is coarser than a grammar, and true of any text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import zip_longest

_LINE_END = re.compile(r"\r\n|\r|\n")
_STOP = re.compile(r"([.!?]+)(?=\s|$)")
_CUT = re.compile(r",|\|\|\||BREAK")
_WIDE_CUT = re.compile(r"[,，、､﹐]|\|\|\||(?<!\w)BREAK(?!\w)")
_SIGN = re.compile(r"\\.|[()\[\]{}<>\"]|,|\|\|\||(?<!\w)BREAK(?!\w)")


def pieces(line: str, *, clean: bool = False) -> Counter[str]:
    """What stands between the commas of a line; with `clean` between full-width ones, too, spelled alike."""
    found = [
        part.strip() for piece in (_WIDE_CUT if clean else _CUT).split(line) for part in _STOP.split(piece)
    ]
    return Counter(fold(piece) if clean else piece for piece in found if piece)


@lru_cache(1 << 16)
def fold(tag: str) -> str:
    """Two tags that `--clean` takes for copies of each other are the same after this."""
    return re.sub(r"[\s_]+", " ", tag.casefold()).strip() or tag


def lost_and_added(before: str, after: str, *, clean: bool = False) -> tuple[list[str], list[str]]:
    """The pieces that a rewrite lost or added, line by line. `clean`: copies may go, the last one may not."""
    if before == after:
        return [], []
    lost, added = Counter[str](), Counter[str]()
    if not clean:
        lost[_mark(before)], added[_mark(after)] = 1, 1
        lost, added = lost - added, added - lost
    texts = (text[len(_mark(text)) :] for text in (before, after))
    lines = zip_longest(*map(_LINE_END.split, texts), fillvalue="")
    for one, two in lines:
        old, new = pieces(one, clean=clean), pieces(two, clean=clean)
        lost += Counter(old.keys() - new.keys()) if clean else old - new
        added += new - old
    return [*lost], [*added]


def _mark(text: str) -> str:
    """The byte order marks in front: they belong to the file and not to its first tag."""
    return text[: len(text) - len(text.lstrip("\ufeff"))]


def held_together(before: bytes, after: bytes, *, clean: bool) -> None:
    """A rewritten caption holds what it held."""
    if before != after:
        assert lost_and_added(before.decode(), after.decode(), clean=clean) == ([], []), (before, after)


def tags_of(line: str) -> Iterator[str]:
    """The tags of a line in which every bracket and every quote is closed: parted where none is open."""
    depth, start, quoted = 0, 0, False
    for found in _SIGN.finditer(line):
        sign = found.group()
        if sign == '"':
            quoted = not quoted
        elif sign in ("(", "[", "{", "<", ")", "]", "}", ">"):
            depth += 1 if sign in "([{<" else -1
        elif sign[0] != "\\" and not depth and not quoted:
            yield line[start : found.start()].strip()
            start = found.end()
    yield line[start:].strip()


def as_made(text: str, tags: tuple[tuple[str, ...], ...], *, clean: bool = False) -> bool:
    """Whether a rewritten caption has the very tags that it was made of, each on its line."""
    lines = _LINE_END.split(text[len(_mark(text)) :])
    while len(lines) > len(tags) and not lines[-1]:
        del lines[-1]
    return len(lines) == len(tags) and all(
        _same([tag for tag in tags_of(line) if tag], made, clean=clean)
        for line, made in zip(lines, tags, strict=True)
    )


def _same(found: list[str], made: tuple[str, ...], *, clean: bool) -> bool:
    """Whether the tags are the same, wherever a full stop stands now."""
    if not clean:
        return _parted(found) == _parted(made)
    return {*map(fold, _parted(found))} == {*map(fold, _parted(made))} and len(found) <= len(made)


def _parted(tags: Iterable[str]) -> list[str]:
    return sorted(part.strip() for tag in tags for part in _STOP.split(tag) if part.strip())
