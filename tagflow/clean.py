"""`--clean`: what may be tidied in a caption when its owner asks for it, and only then.

Removed: byte order marks in front, CR in line ends, full-width commas (they become plain ones), empty tags, a
trailing comma, and every later copy of a tag on a line. Prose lines keep every character between their ends.
"""

from __future__ import annotations

import re

from tagflow.caption import Caption, Tag, parse, same_tag

_LINE_ENDS = re.compile(r"\r\n?")
_COMMAS = re.compile(r"(?<![\s,，])\s*(?:[,，]\s*)+")  # looking back keeps long runs cheap
_LEADING = re.compile(r"^\s*(?:[,，]\s*)+")
_TRAILING = re.compile(r"(?<![\s,，])\s*(?:[,，]\s*)+$")
_UNTIDY = re.compile(r"，|,\s*,")
_COMMA = ", "
_APART = ("", ",", " ")


def clean(text: str) -> str:
    """The tidied text; a text with nothing to tidy comes back unchanged."""
    text = _LINE_ENDS.sub("\n", text.lstrip("\ufeff"))
    caption = parse(text, wide_commas=True)
    lines = text.split("\n")
    for number, tags in _by_line(caption).items():
        if not any(tag.kind == "prose" for tag in tags):
            lines[number] = _clean_line(caption, tags)
    return "\n".join(lines)


def _by_line(caption: Caption) -> dict[int, list[Tag]]:
    lines: dict[int, list[Tag]] = {}
    for tag in caption.tags:
        lines.setdefault(tag.line, []).append(tag)
    return lines


def _clean_line(caption: Caption, tags: list[Tag]) -> str:
    """Rebuild one line from its tags. What stands between them becomes `, `; `|||` and `BREAK` stay."""
    text = caption.text
    begin = text.rfind("\n", 0, tags[0].start) + 1
    end = text.find("\n", tags[-1].end)
    end = len(text) if end < 0 else end
    bounds = [begin, *(at for tag in tags for at in (tag.start, tag.end)), end]
    gaps = [text[bounds[at] : bounds[at + 1]] for at in range(0, len(bounds), 2)]
    words = [text[tag.start : tag.end] for tag in tags]
    if not _untidy(words, gaps):
        return text[begin:end]
    tidied = _rebuild(words, gaps)
    return tidied if _holds(tidied, words) else text[begin:end]


def _untidy(words: list[str], gaps: list[str]) -> bool:
    repeated = len({same_tag(word) for word in words}) < len(words)
    edges = _LEADING.search(gaps[0]) or _TRAILING.search(gaps[-1])
    return repeated or bool(edges) or any(_UNTIDY.search(gap) for gap in gaps)


def _holds(line: str, words: list[str]) -> bool:
    """Whether the tidied line is read as the same tags: a space more can make a quote close another.

    Where copies went, the tags left beside sentences may be too few to be a list, and count as sentences.
    """
    first: dict[str, str] = {}
    for word in words:
        first.setdefault(same_tag(word), word)
    kept = list(first.values())
    read = parse(line, wide_commas=True)
    if any(tag.kind != "tag" for tag in read.tags):
        return _plain(read.texts()) == _plain(kept)
    return read.texts() == kept


def _plain(words: list[str]) -> str:
    return _COMMAS.sub(_COMMA, _COMMA.join(words))


def _rebuild(words: list[str], gaps: list[str]) -> str:
    line, pending = "", _COMMAS.sub(_COMMA, _LEADING.sub("", gaps[0]))
    seen: set[str] = set()
    for word, gap in zip(words, gaps[1:], strict=True):
        tidy = _COMMAS.sub(_COMMA, gap)
        if same_tag(word) in seen:
            pending = _across(pending, tidy)
        else:
            line, pending = line + pending + word, tidy
            seen.add(same_tag(word))
    return line + _TRAILING.sub("", pending)


def _across(before: str, after: str) -> str:
    """One gap for the two on either side of a tag that went: its comma goes, `|||` and `BREAK` stay."""
    if before == _COMMA or after == _COMMA:
        gap = after if before == _COMMA else before
    else:
        gap = _COMMAS.sub(_COMMA, before + " " + after)
    # `(a)BREAK(a), b`: without spaces BREAK would grow together with the next tag
    return f"{'' if gap[:1] in _APART else ' '}{gap}{'' if gap[-1:] in _APART else ' '}"
