"""`--clean`: what is tidied in a caption where its owner asks for it. Open it to see or change what that is.

Removed: byte order marks in front, CR in line ends, wide commas (they become plain ones), empty tags, a
trailing comma, and every later copy of a tag on a line. Prose lines keep every character between their ends.

A line is tidied only where the result, read again, is sure to hold the same tags and nothing more to tidy:
without its copies the rest of a line may be too little for a list, and its sentences would fall apart. Then
only its commas are tidied, or nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from tagflow.captions.grammar import FIXED, Caption, join, parse, tag_key
from tagflow.captions.split import WIDE_COMMA, WIDE_COMMAS

_LINE_ENDS = re.compile(r"\r\n?")
_COMMAS = re.compile(
    rf"(?<![\s,{WIDE_COMMAS}])\s*(?:[,{WIDE_COMMAS}]\s*)+"
)  # looking back keeps long runs cheap
_LEADING = re.compile(rf"^\s*(?:[,{WIDE_COMMAS}]\s*)+")
_TRAILING = re.compile(rf"(?<![\s,{WIDE_COMMAS}])\s*(?:[,{WIDE_COMMAS}]\s*)+$")
_UNTIDY = re.compile(rf"[{WIDE_COMMAS}]|,\s*,")
_COMMA = ", "
_APART = ("", ",", " ")


class _Line(NamedTuple):
    """One line as `--clean` reads it: its tags, and what stands before, between and after them."""

    words: list[str]
    gaps: list[str]
    prose: bool


class _Readings(dict[str, Caption]):
    """Texts as `--clean` reads them, each parsed when it is first asked for."""

    def __init__(self, known: dict[str, Caption], separator: str | None) -> None:
        super().__init__(known)
        self.separator = separator

    def __missing__(self, text: str) -> Caption:
        self[text] = caption = parse(text, fullwidth_commas=True, separator=self.separator)
        return caption


def tidied(caption: Caption, separator: str | None = None) -> Caption:
    """The tidied text of a caption, parsed as the trainer reads it; no order of it gives more to tidy.

    A caption with nothing to tidy comes back as it is, and so does a tidied one.

    A line is `FIXED` where something untidy had to stay, or where tags are parted by a full-width comma for
    `--clean` and not for the trainer: in another order more of it might be tidied, or read differently.

    `separator`: the keep_tokens_separator that the caption was parsed with.
    """
    readings = _Readings({} if WIDE_COMMA.search(caption.text) else {caption.text: caption}, separator)
    made, held = _tidied(caption.text, readings)
    if made != caption.text:
        caption = parse(made, separator=separator) if WIDE_COMMA.search(made) else readings[made]
    if WIDE_COMMA.search(made):
        wide = _spans(readings[made])
        held |= {line for line, spans in _spans(caption).items() if spans != wide.get(line)}
    if not held:
        return caption
    tags = (tag._replace(segment=FIXED) if tag.line in held else tag for tag in caption.tags)
    return replace(caption, tags=tuple(tags))


def _spans(caption: Caption) -> dict[int, list[tuple[int, int]]]:
    return {
        line: [(tag.start, tag.end) for tag in tags]
        for line, tags in groupby(caption.tags, key=lambda tag: tag.line)
    }


def _tidied(text: str, readings: _Readings) -> tuple[str, set[int]]:
    """The tidied text, and the lines in which something untidy had to stay."""
    text = _LINE_ENDS.sub("\n", text.lstrip("\ufeff"))
    lines, held = text.split("\n"), set[int]()
    for number, line in _lines(readings[text]):
        if _untidy(line):
            tidy = _tidy(line, readings)
            if tidy is not None:
                lines[number] = tidy
            if tidy is None or any(_untidy(left) for _, left in _lines(readings[tidy])):
                held.add(number)
    return "\n".join(lines), held


def _lines(caption: Caption) -> Iterator[tuple[int, _Line]]:
    """The lines of a caption that hold tags, by number."""
    text = caption.text
    for number, group in groupby(caption.tags, key=lambda tag: tag.line):
        tags = list(group)
        begin = text.rfind("\n", 0, tags[0].start) + 1
        end = text.find("\n", tags[-1].end)
        bounds = [begin, *(at for tag in tags for at in (tag.start, tag.end)), len(text) if end < 0 else end]
        gaps = [text[bounds[at] : bounds[at + 1]] for at in range(0, len(bounds), 2)]
        words = [text[tag.start : tag.end] for tag in tags]
        yield number, _Line(words, gaps, any(tag.kind == "prose" for tag in tags))


def _untidy(line: _Line) -> bool:
    if line.prose:
        return False
    repeated = len(set(map(tag_key, line.words))) < len(line.words)
    edges = _LEADING.search(line.gaps[0]) or _TRAILING.search(line.gaps[-1])
    return repeated or bool(edges) or any(_UNTIDY.search(gap) for gap in line.gaps)


def _tidy(line: _Line, readings: _Readings) -> str | None:
    """The line without its copies, or with its commas tidied alone; None where neither is sure.

    A space more can make a quote close another, and a tag less can make prose of a list.
    """
    before = join(line.words, line.gaps)
    for words in (_firsts(line.words), line.words):
        made = _rebuild(line, copies=words is line.words)
        read = dict(_lines(readings[made])).get(0) if made != before else None
        # Tidying once more must leave it at that.
        if read and read.words == words and (not _untidy(read) or _tidy(read, readings) is None):
            return made
    return None


def _firsts(words: Sequence[str]) -> list[str]:
    """Every tag once, as it is spelled first."""
    first: dict[str, str] = {}
    for word in words:
        first.setdefault(tag_key(word), word)
    return list(first.values())


def _rebuild(line: _Line, *, copies: bool) -> str:
    """The line with `, ` between its tags, with its copies or without; separators and `BREAK` stay."""
    made, pending = "", _COMMAS.sub(_COMMA, _LEADING.sub("", line.gaps[0]))
    seen: set[str] = set()
    for word, gap in zip(line.words, line.gaps[1:], strict=True):
        tidy = _COMMAS.sub(_COMMA, gap)
        if not copies and tag_key(word) in seen:
            pending = _across(pending, tidy)
        else:
            made, pending = made + pending + word, tidy
            seen.add(tag_key(word))
    return made + _TRAILING.sub("", pending)


def _across(before: str, after: str) -> str:
    """One gap for the two on either side of a tag that went: its comma goes, separators and `BREAK` stay."""
    if before == _COMMA or after == _COMMA:
        gap = after if before == _COMMA else before
    else:
        gap = _COMMAS.sub(_COMMA, before + " " + after)
    # `(a)BREAK(a), b`: without spaces BREAK would grow together with the next tag
    return f"{'' if gap[:1] in _APART else ' '}{gap}{'' if gap[-1:] in _APART else ' '}"
