"""The findings that one caption gives by itself; open it for odd characters, contradictions and repeats.

Lines that are not read, or are no captions, and leftovers of prompts are reported here, too; what follows
from a single tag is in tags.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby
from typing import NamedTuple

from tagflow.captions.grammar import line_spans
from tagflow.captions.leftovers import is_unread, loop, no_caption
from tagflow.checks.tags import Facts, Lists
from tagflow.findings.finding import Finding, finding, line_and_column
from tagflow.findings.wording import some

_LINE_END = re.compile(r"\r\n|\r|\n")
# Neither joiner: emoji are made of U+200D, and Persian is written with U+200C.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffc]"
)
_SIGNS_NAMED = 5


def in_text(text: str) -> Iterator[Finding]:
    """The findings of a text as it stands."""
    first = len(text) - len(text.lstrip("\ufeff"))  # a mark at the beginning is `bom`
    found = _INVISIBLE.search(text, first)
    if found is not None:
        counts = Counter(_INVISIBLE.findall(text[first:]))
        signs = [f"U+{ord(sign):04X}" + (f" {n} times" if n > 1 else "") for sign, n in counts.items()]
        yield _at(text, found.start(), "character-invisible", some(signs, _SIGNS_NAMED))
    if "\n" in text or "\r" in text:
        below = [line for line in _LINE_END.split(text)[1:] if line.strip()]
        if below:
            yield finding("lines-unread", f"{len(below)} below the first", figures={"lines": len(below)})
    if is_unread(text):
        yield finding("script-unread")
    if said := loop(text):
        yield finding("leftover-repetition", said)


_NAMED = 4  # so many examples are named in a finding; more would not be read
_WIDTH = 60  # characters of an example
_BREAK = re.compile(r"(?<!\w)BREAK(?!\w)")


class Words(NamedTuple):
    """A caption and its tags as they stand: where each starts, on which line, and what is known of it."""

    text: str
    tags: Sequence[str]
    starts: Sequence[int]
    lines: Sequence[int]
    facts: Sequence[Facts]


def word_findings(words: Words, lists: Lists) -> Iterator[Finding]:
    """All that the words of one caption show.

    Lines are looked at one by one: those of a caption are alternatives to the trainer, or not read at all.
    """
    yield from in_text(words.text)
    yield from _leftovers(words)
    if words.lines and words.lines[0] != words.lines[-1]:
        for _, group in groupby(range(len(words.tags)), key=words.lines.__getitem__):
            at = list(group)
            yield from _implied(words, at)
            yield from _contradictions(words, at, lists)
    else:
        yield from _implied(words, range(len(words.tags)))
        yield from _contradictions(words, range(len(words.tags)), lists)


def _at(text: str, at: int, code: str, detail: str, tag: str | None = None) -> Finding:
    """A finding at a character of a caption."""
    line, column = line_and_column(text, at)
    return finding(code, detail, line=line, column=column, tag=tag)


def _implied(words: Words, at: Sequence[int]) -> Iterator[Finding]:
    """Tags whose words end a longer tag beside them; underscores and spaces are the same."""
    keys = {words.facts[index].key: index for index in at}
    pairs = {
        head: index for index in at for head in words.facts[index].heads if head in keys
    }  # several longer tags: the last is named
    if pairs:
        named = [f"{words.tags[keys[head]]} in {words.tags[index]}" for head, index in pairs.items()]
        shorter = keys[next(iter(pairs))]
        yield _at(words.text, words.starts[shorter], "tag-implied", some(named, _NAMED), words.tags[shorter])


def _contradictions(words: Words, at: Sequence[int], lists: Lists) -> Iterator[Finding]:
    excluded = lists.excluded
    places = {meaning: index for index in at for meaning in words.facts[index].meanings}
    charged = [meaning for meaning in places if meaning in excluded]
    if len(charged) < 2 or not lists.exempt["several-pictures"].isdisjoint(places):
        return
    person: bool | None = None
    sets: dict[str, set[int]] = {}  # for each reason all tags that exclude another for it
    together = set(charged)
    for number, left in enumerate(charged):
        if excluded[left].keys().isdisjoint(together):
            continue
        for right in charged[number + 1 :]:
            row = excluded[left].get(right)
            if row is None or not row.unless.isdisjoint(places):
                continue
            if row.scope == "person":
                person = _one_person(places.keys(), lists) if person is None else person
                if not person:
                    continue
            sets.setdefault(row.reason, set()).update((places[left], places[right]))
    for reason, at_odds in sets.items():
        named = [words.tags[index] for index in sorted(at_odds)]
        last = max(at_odds)
        if len(named) > 1:  # else one group of tags says both, as `(day, night:1.2)` does
            yield _at(
                words.text,
                words.starts[last],
                "tag-contradiction",
                f"{', '.join(named)}: {reason}",
                named[-1],
            )


def _one_person(meanings: AbstractSet[str], lists: Lists) -> bool:
    """Whether the caption is about one person: then colours, postures and clothes are that person's.

    With two, or with nobody named, they may be of several: with `2girls` two colours of hair are right.
    """
    counted = lists.exempt["one-person"] & meanings
    counted -= {"male focus"} if "1boy" in counted else set()
    alone = len(counted - {"solo"}) <= 1
    return bool(counted) and alone and lists.exempt["several-persons"].isdisjoint(meanings)


def _leftovers(words: Words) -> Iterator[Finding]:
    """One finding for each code, with the first places by name."""
    scored, told = set[int](), set[str]()
    for number, (begin, end) in enumerate(line_spans(words.text)):
        left = no_caption(words.text[begin:end])
        if left is not None and left.code not in told:
            yield _at(words.text, begin + left.at, left.code, left.detail)
            told.add(left.code)
        if left is not None and left.code == "leftover-confidence":
            scored.add(number)  # its scores are no weights
    found: dict[str, list[int]] = {}
    for index, known in enumerate(words.facts):
        for code in known.leftovers:
            if code != "leftover-weight" or words.lines[index] not in scored:
                found.setdefault(code, []).append(index)
    for code, places in found.items():
        flat = (" ".join(words.tags[index].split()) for index in places)
        short = (tag if len(tag) <= _WIDTH else tag[: _WIDTH - 1] + "…" for tag in flat)
        named = some(short, _NAMED)
        yield _at(words.text, words.starts[places[0]], code, named, words.tags[places[0]])
    if "BREAK" in words.text and (seen := _BREAK.search(words.text)) and not words.text.isupper():
        yield _at(words.text, seen.start(), "leftover-keyword", "BREAK", "BREAK")
