"""What a caption's text shows before its tags: characters that nobody sees, lines that nobody reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

_LINE_END = re.compile(r"\r\n|\r|\n")
# Neither joiner: emoji are made of U+200D, and Persian is written with U+200C.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffc]"
)
_NAMED = 5


class Seen(NamedTuple):
    """A finding in a caption, and the character of its text where it is seen (None: in the whole)."""

    code: str
    detail: str
    at: int | None = None


def in_text(text: str) -> Iterator[Seen]:
    """The findings of a text as it stands."""
    first = len(text) - len(text.lstrip("\ufeff"))  # a mark at the beginning is `bom`
    found = _INVISIBLE.search(text, first)
    if found is not None:
        yield Seen("character-invisible", _named(text[first:]), found.start())
    if "\n" in text or "\r" in text:
        below = [line for line in _LINE_END.split(text)[1:] if line.strip()]
        if below:
            yield Seen("lines-unread", f"{len(below)} below the first")


def _named(text: str) -> str:
    counts = Counter(_INVISIBLE.findall(text))
    names = [
        f"U+{ord(sign):04X}" + (f" {count} times" if count > 1 else "") for sign, count in counts.items()
    ]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
