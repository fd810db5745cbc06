"""Phrases that messages share; open it for `and 4,248 more`, plurals, or `did you mean`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def some(names: Iterable[object], most: int = 3, *, among: int | None = None) -> str:
    """The first names of many and how many more there are: `a, b, c and 4,248 more`.

    among: how many there are, where `names` are only the first of them.
    """
    listed = list(map(str, names))
    left = (len(listed) if among is None else among) - most
    return ", ".join(listed[:most]) + (f" and {left:,} more" if left > 0 else "")


LONG = 60
"""Characters of a text that a message shows."""


def short(text: str) -> str:
    """The text, or its beginning where it would make a message too long to read; on one line."""
    text = " ".join(text.split())
    return text if len(text) <= LONG else text[: LONG - 1].rstrip() + "…"


def many(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: `1 image`, `2,140 images`. `plural`: where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def nearest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """`did you mean a, b?` for a word that is not known; `otherwise` where nothing is near."""
    from difflib import get_close_matches

    near: Sequence[str] = get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else otherwise


def misspelt(word: str, known: Iterable[str]) -> str:
    """A word that is not known, with what may have been meant: `seeed; did you mean seed?`."""
    return "; ".join(filter(None, (word, nearest(word, known))))
