"""Recognise sentences among tags.

A caption written by a language model is a paragraph; sorting its commas would destroy it. A line that is
mostly sentences is prose and is left alone; a sentence in a list of tags becomes one unit. A long noun
phrase between two commas is a tag, however long. What marks a sentence is in `tagflow.sentence`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Literal, NamedTuple

from tagflow.scanner import Split
from tagflow.sentence import PHRASE, Part, marks

_STOPS = tuple(".!?")
_WIDE_STOP = re.compile("[。！？]")

_PROSE_SHARE = 0.5
_REACH = 3  # so many plain phrases may stand between two clauses of one sentence: `a sofa, two chairs, and`
_LIST = 12  # and so many between the beginning of a sentence and the `and` or the full stop of its list

UnitKind = Literal["tag", "sentence", "prose"]


class Unit(NamedTuple):
    """What moves as one: `text[start:end]` of a line, in the given stretch."""

    start: int
    end: int
    stretch: int
    kind: UnitKind = "tag"


Run = tuple[int, int]


def tells(split: Split) -> bool:
    """Whether to look for sentences at all: a line of short parts that ends in no full stop holds none."""
    text = split.text
    if not split.parts:
        return False
    spaces = max(map(text.count, repeat(" "), *zip(*split.parts, strict=True)))
    return spaces >= PHRASE - 1 or text.rstrip()[-1:] in _STOPS or bool(_WIDE_STOP.search(text))


def find_sentences(split: Split) -> list[Unit]:
    """The units of a line: tags, sentences merged over their commas, or all `prose`."""
    text = split.text
    units = [Unit(*span, stretch) for span, stretch in zip(split.parts, split.stretches, strict=True)]
    if _WIDE_STOP.search(text):  # no list of tags has a Chinese full stop
        return _all_prose(units)
    parts = [marks(text[unit.start : unit.end], unit.stretch) for unit in units]
    runs = _bridged(parts, list(_runs(parts)))
    if _mostly_told(parts, runs):
        return _all_prose(units)
    return _merge(units, runs) if runs else units


def _all_prose(units: Sequence[Unit]) -> list[Unit]:
    return [Unit(unit.start, unit.end, unit.stretch, "prose") for unit in units]


def _mostly_told(parts: Sequence[Part], runs: Sequence[Run]) -> bool:
    """Whether sentences make up the line. Two or more ordinary tags beside them make it a list again."""
    inside = {index for first, last in runs for index in range(first, last + 1)}
    outside = [part for index, part in enumerate(parts) if index not in inside and not part.long]
    if not outside:
        return True
    if not runs:
        return len(outside) == 1 and len(parts) > 1 and (outside[0].acts or outside[0].listed)
    if len(outside) > 1 and all(part.plain for part in outside):
        return False
    if len(outside) == 1 and any(parts[index].clause for index in inside):
        return True
    told = sum(parts[index].size for index in inside)
    return told >= _PROSE_SHARE * sum(part.size for part in parts)


def _runs(parts: Sequence[Part]) -> Iterator[Run]:
    """First and last part of every sentence, in order. None crosses `|||` or `BREAK`."""
    floor = at = 0
    while at < len(parts):
        first = _start(parts, at, floor)
        if first is None:
            at += 1
            continue
        last = _reach(parts, first, at)
        yield first, last
        floor = at = last + 1


def _start(parts: Sequence[Part], at: int, floor: int) -> int | None:
    """Where the sentence begins that the part `at` shows to be one; None where it shows none."""
    part = parts[at]
    behind = range(at - 1, max(floor, at - _LIST) - 1, -1)
    near = [index for index in behind if parts[index].stretch == part.stretch]
    if part.closes or part.listed or part.inner or part.stops:
        found = next((index for index in near if _opens(parts, index, at)), None)
        if found is not None:
            return _leaned(parts, found, near)
    if part.joins and near and parts[near[0]].phrase and not parts[near[0]].stops:
        return _leaned(parts, near[0], near)
    if not part.clause:
        return None
    first = at
    while first - 1 in near and (parts[first - 1].joins or _leads_in(parts[first - 1])):
        first -= 1
    return first


def _leaned(parts: Sequence[Part], first: int, near: Sequence[int]) -> int:
    """Further back from `of a table` to the part that it needs."""
    while parts[first].leans and first - 1 in near and not parts[first - 1].stops:
        first -= 1
    return first


def _leads_in(part: Part) -> bool:
    """`In the middle of the room, a man is reading` begins before its clause."""
    return part.capital and part.phrase and not part.stops


def _opens(parts: Sequence[Part], first: int, last: int) -> bool:
    """Whether a sentence that ends, or ends a list, at `last` may begin at `first`."""
    opener, end = parts[first], parts[last]
    if any(part.stops for part in parts[first:last]):
        return False
    if end.closes:
        return opener.phrase or opener.capital
    if end.listed and end.article and opener.phrase and (opener.article or opener.capital):
        return True
    if end.inner and opener.capital:
        return True
    told = [part for part in parts[first : last + 1] if part.function]
    if not end.stops or sum(part.function for part in told) < 3:
        return False
    if opener.capital:
        held = any(part.phrase for part in parts[first : last + 1])  # else all are as short as tags
        return held and 2 * len(told) > last + 1 - first
    # `zkv house, a modern building with a flat roof, stands on a hill.`: all but the name holds together
    return first == 0 and len(told) >= max(2, last - first)


def _reach(parts: Sequence[Part], first: int, at: int) -> int:
    """The last part of the sentence that begins at `first` and has been followed up to `at`."""
    last = at
    told = any(part.clause for part in parts[first : at + 1])
    while not parts[last].stops and (found := _next(parts, first, last, told)) is not None:
        told = told or any(part.clause for part in parts[last + 1 : found + 1])
        last = found
    return last


def _next(parts: Sequence[Part], first: int, last: int, clause: bool) -> int | None:
    """The next part that surely belongs to the sentence; what stands between belongs to it too.

    `clause`: the sentence has one already.
    """
    for index in range(last + 1, min(last + 2 + _LIST, len(parts))):
        part, distance = parts[index], index - last
        if part.stretch != parts[last].stretch:
            break
        if part.closes or (part.joins and distance == 1):
            return index
        if clause and distance == 1 and (part.article or (part.clause and not part.capital)):
            return index
        if part.stops and (clause or last > first) and (parts[first].capital or distance <= _REACH):
            return index
        if part.capital and distance > 1:
            break
    return None


def _bridged(parts: Sequence[Part], runs: Sequence[Run]) -> list[Run]:
    """Runs with few parts between them are one where the second reads on from the first."""
    joined: list[Run] = []
    for first, last in runs:
        before = joined[-1] if joined else None
        if before and _reads_on(parts, before, (first, last)):
            joined[-1] = (before[0], last)
        else:
            joined.append((first, last))
    return joined


def _reads_on(parts: Sequence[Part], one: Run, two: Run) -> bool:
    told = all(any(part.clause for part in parts[first : last + 1]) for first, last in (one, two))
    near = two[0] - one[1] <= _REACH + 1 and parts[one[0]].stretch == parts[two[0]].stretch
    return told and near and not parts[one[1]].stops and not parts[two[0]].capital


def _merge(units: Sequence[Unit], runs: Sequence[Run]) -> list[Unit]:
    merged: list[Unit] = []
    at = 0
    for first, last in runs:
        merged.extend(units[at:first])
        merged.append(Unit(units[first].start, units[last].end, units[first].stretch, "sentence"))
        at = last + 1
    return [*merged, *units[at:]]
