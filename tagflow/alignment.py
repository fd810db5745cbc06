"""Cleaning a text as the reference tokenizer does, and where each cleaned character came from."""

from __future__ import annotations

import difflib
import re

Span = tuple[int, int]

# difflib is quadratic; beyond this many comparisons spans are spread evenly instead.
_MAX_COMPARISONS = 1_000_000


def clean_part(part: str) -> str:
    """Return the text that the reference cuts into pieces."""
    # ftfy takes 50 ms to import, and most captions never need it.
    import ftfy

    return " ".join(ftfy.fix_text(part).split()).lower()


def align(original: str, clean: str) -> list[Span]:
    """Return for each character of `clean` the span of `original` that it came from."""
    words = [(match.start(), match.group()) for match in re.finditer(r"\S+", original)]
    parts = [clean_part(word) for _, word in words]
    if " ".join(filter(None, parts)) != clean:
        return _align_stretch(original, clean)  # a repair reached across white space
    spots: list[Span] = []
    for (start, word), part in zip(words, parts, strict=True):
        if part:
            spots += [(start, start)] * bool(spots)  # the space between; no token lies on it
            spots += [(start + left, start + right) for left, right in _align_stretch(word, part)]
    return spots


def _align_stretch(original: str, clean: str) -> list[Span]:
    lowered = "".join(lower if len(lower := character.lower()) == 1 else character for character in original)
    if lowered == clean:
        return [(at, at + 1) for at in range(len(clean))]
    if len(original) * len(clean) > _MAX_COMPARISONS:
        places = [at * len(original) // len(clean) for at in range(len(clean))]
        return [(place, place + 1) for place in places]
    spots: list[Span] = []
    for _, i1, i2, j1, j2 in difflib.SequenceMatcher(None, lowered, clean, autojunk=False).get_opcodes():
        if i2 - i1 == j2 - j1:
            spots += [(at, at + 1) for at in range(i1, i2)]
        else:  # what was put in from nowhere lies on the character before it
            spots += [(i1, i2) if i1 < i2 else (max(i1 - 1, 0), max(i1, 1))] * (j2 - j1)
    return spots
