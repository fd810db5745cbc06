"""Recognise sentences among tags.

A caption written by a language model is a paragraph; sorting its commas would destroy it. This module
decides by the marks of a clause (a verb with something before it, function words, length, a full stop)
and never by a model. A line that is mostly sentences is prose and is left alone; a sentence in a list of
tags becomes one unit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tagflow.scanner import Split

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_INNER_STOP = re.compile(r"[^\s.]{3}[.!?][\"'”’)]*\s+[A-Z]")
_FINAL_STOP = re.compile(r"[^\W_]{2}[\"'”’)]*[.!?][\"'”’)]*$")

_DETERMINERS = frozenset(
    "a an the this that these those its his her their my our your some each every".split()
)
_PRONOUNS = frozenset("it he she they there we you i who which what someone everyone".split())
_LINKS = frozenset(
    "and or but with while where which that who whose as of in on at by to from for into through over "
    "under behind beside between across near along against towards toward around featuring including".split()
)
_CONTINUES = frozenset(
    "and or but with while where which that who whose as creating making giving adding featuring including "
    "providing offering allowing suggesting surrounded accompanied complemented illuminated letting".split()
)
_VERBS = frozenset(
    "is are was were has have had can could does do did will would may might isn't aren't doesn't "
    "shows depicts showcases includes contains stands sits appears seems creates adds gives provides fills "
    "hangs lies features captures offers displays illuminates leads looks rests suggests evokes complements "
    "adorns surrounds reflects overlooks streams flows lets brings makes holds wears stretches extends "
    "dominates enhances casts bathes invites blends combines highlights emphasizes emphasises conveys "
    "contribute contributes feel feels line lines overlook occupies occupy frames".split()
)
_FUNCTION = _DETERMINERS | _PRONOUNS | _LINKS

_LONG_CLAUSE, _STOPPED_CLAUSE, _LINKED_CLAUSE, _VERB_CLAUSE = 14, 7, 9, 4
_PROSE_SHARE = 0.5
_TAG_WORDS = 3
_REACH = 3  # so many plain phrases may stand between two clauses of one sentence: `a sofa, two chairs, and`

UnitKind = Literal["tag", "sentence", "prose"]


@dataclass(frozen=True, slots=True)
class Unit:
    """What moves as one: `text[start:end]` of a line, in the given stretch."""

    start: int
    end: int
    stretch: int
    kind: UnitKind = "tag"


@dataclass(frozen=True, slots=True)
class _Part:
    """The marks of one comma-separated part."""

    words: int
    clause: bool
    follows: bool  # reads on from the part before it
    stops: bool  # ends with a full stop
    plain: bool  # short, and with no mark of a sentence: an ordinary tag


def find_sentences(split: Split) -> list[Unit]:
    """The units of a line: tags, sentences merged over their commas, or all `prose`."""
    units = [Unit(*span, stretch) for span, stretch in zip(split.parts, split.stretches, strict=True)]
    if not units or split.text.count(" ") < _VERB_CLAUSE - 1:
        return units
    parts = [_marks(split.text[unit.start : unit.end]) for unit in units]
    runs = _runs(parts, units)
    if not runs:
        return units
    if _mostly_told(parts, runs):
        return [Unit(unit.start, unit.end, unit.stretch, "prose") for unit in units]
    return _merge(units, runs)


def _mostly_told(parts: Sequence[_Part], runs: Sequence[tuple[int, int]]) -> bool:
    """Whether sentences make up the line. Two or more ordinary tags beside them make it a list again."""
    inside = {index for first, last in runs for index in range(first, last + 1)}
    outside = [part for index, part in enumerate(parts) if index not in inside]
    if len(outside) > 1 and all(part.plain for part in outside):
        return False
    told = sum(parts[index].words for index in inside)
    return told >= _PROSE_SHARE * sum(part.words for part in parts)


def _marks(text: str) -> _Part:
    words = _WORD.findall(text)
    first = words[0].lower() if words else ""
    stops = bool(_FINAL_STOP.search(text))
    follows = first in _CONTINUES or (first in _DETERMINERS and len(words) > 1)
    plain = len(words) <= _TAG_WORDS and not follows and not stops
    clause = len(words) >= _VERB_CLAUSE and _is_clause(text, words, stops)
    return _Part(len(words), clause, follows, stops, plain)


def _is_clause(text: str, words: Sequence[str], stops: bool) -> bool:
    """Whether these words (four or more) say something rather than name something."""
    low = [word.lower() for word in words]
    function = sum(word in _FUNCTION for word in low)
    subject = low[0] in _DETERMINERS | _PRONOUNS or text[:1].isupper()
    if function and subject and any(word in _VERBS for word in low[1:]):
        return True
    if text[:1].isupper() and function > 2:  # `A cozy room with a sofa`, `Light comes in from the left`
        return True
    if _INNER_STOP.search(text) and function:
        return True
    if len(low) >= _STOPPED_CLAUSE and stops and text[:1].isupper() and function:
        return True
    return len(low) >= _LONG_CLAUSE or (len(low) >= _LINKED_CLAUSE and function >= 3)


def _runs(parts: Sequence[_Part], units: Sequence[Unit]) -> list[tuple[int, int]]:
    """First and last part of every sentence. A sentence does not cross `|||` or `BREAK`."""
    runs: list[tuple[int, int]] = []
    at = 0
    while at < len(parts):
        if not parts[at].clause:
            at += 1
            continue
        last = _reach(parts, units, at)
        runs.append((_start(parts, units, at, runs[-1][1] + 1 if runs else 0), last))
        at = last + 1
    return runs


def _reach(parts: Sequence[_Part], units: Sequence[Unit], at: int) -> int:
    """The last part of the sentence that has its clause at `at`."""
    last = at
    while not parts[last].stops:
        ahead = range(last + 1, min(last + 2 + _REACH, len(parts)))
        following = (
            index
            for index in ahead
            if units[index].stretch == units[at].stretch
            and (
                parts[index].follows or parts[index].clause or (parts[index].stops and parts[index].words > 1)
            )
        )
        found = next(following, None)
        if found is None:
            break
        last = found
    return last


def _start(parts: Sequence[_Part], units: Sequence[Unit], at: int, floor: int) -> int:
    """Where the sentence begins: `In the middle of the room, a man is reading` begins before its clause."""
    first = at
    while first > floor and parts[first - 1].follows and units[first - 1].stretch == units[at].stretch:
        first -= 1
    return first


def _merge(units: Sequence[Unit], runs: Sequence[tuple[int, int]]) -> list[Unit]:
    merged: list[Unit] = []
    at = 0
    for first, last in runs:
        merged.extend(units[at:first])
        merged.append(Unit(units[first].start, units[last].end, units[first].stretch, "sentence"))
        at = last + 1
    return [*merged, *units[at:]]
