"""Which parts of a line are sentences; open it where a sentence is taken for tags, or tags for a sentence.

A caption written by a language model is a paragraph; sorting its commas would destroy it. A line that is
mostly sentences is prose and is left alone; a sentence in a list of tags becomes one unit. A long noun
phrase between two commas is a tag, however long.

First the features of each part between two commas: English word sets and a few rules on them, no model, tell
what says something (`the room is bright`), what only names something (`floor lamp that looks like a tree`)
and what reads on from the part before it. Then the units that follow from the features.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Literal, NamedTuple

from tagflow.captions.split import Split

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_INNER_STOP = re.compile(r"[^\s.]{3}[.!?][\"'”’)]*\s+[\"'“‘(]?[A-ZÀ-ÞА-Я]")
_FINAL_STOP = re.compile(r"[^\W_]{2}[\"'”’)]*[.!?][\"'”’)]*$")

_DETERMINERS = frozenset(
    "a an the this that these those its his her their my our your some each every another".split()
)
_NUMBERS = frozenset("two three four five six seven eight several many both few most all people".split())
_PRONOUNS = frozenset("it it's he she they there there's we you i who which what someone everyone".split())
_LINKS = frozenset(
    "and or but with without while where which that who whose as of in on at by to from for into onto "
    "through over under above below behind beside between across near along against toward towards "
    "around inside outside next featuring including".split()
)
_CLOSES = frozenset("and or plus".split())
_CONTINUES = _CLOSES | frozenset(
    "but with while whereas where which whose creating making giving adding featuring including "
    "providing offering allowing suggesting showing showcasing highlighting overlooking surrounded "
    "accompanied complemented illuminated bathed flanked letting evoking".split()
)
# What can hardly be anything but a verb after a subject ...
_VERBS = frozenset(
    "is are was were has have had isn't aren't doesn't don't can't shows depicts showcases includes contains "
    "appears seems creates adds gives provides fills sits captures offers illuminates suggests evokes "
    "complements adorns surrounds reflects overlooks lets brings makes wears dominates enhances bathes "
    "invites blends combines highlights emphasizes emphasises conveys contributes occupies presents "
    "illustrates portrays exudes boasts serves comes consists separates connects leads".split()
)
# ... and what may be a noun as well (`clean lines`): a verb if it has an object or a place after it.
_NOUN_LIKE = frozenset(
    "stands hangs lies rests features displays looks streams flows holds stretches extends casts feels lines "
    "frames can could will would may might does do sit stand lie hang lean face fill flank adorn surround "
    "create provide add contribute feel line overlook occupy frame".split()
)
_NO_VERB = re.compile(r"(?:ss|us|is|as|ies|stairs|'s|’s)$")  # `a cactus in`, `a canvas on`, `a girl's room`
_SUBJECTS = _DETERMINERS | _NUMBERS | _PRONOUNS
_FUNCTION = _DETERMINERS | _PRONOUNS | _LINKS | frozenset("is are was were has have".split())

_LONG, _LINKED, PHRASE = 14, 9, 4


@dataclass(frozen=True, slots=True)
class PartFeatures:
    """The marks of one comma-separated part."""

    size: int
    stretch: int
    function: int  # how many of its words only hold others together
    clause: bool  # says something
    long: bool  # so long that, standing alone, it is no tag: `a kitchen with a sink in the middle`
    phrase: bool  # four words or more that are held together: it may open a sentence
    capital: bool  # begins like a sentence
    article: bool  # begins with a determiner
    joins: bool  # reads on from the part before it: `with a red roof`
    leans: bool  # begins with a preposition or a verb in lower case: `of a table`, `has two windows`
    acts: bool  # begins with what somebody does: `looking out of the window`
    closes: bool  # ends a list: `and a lamp`
    listed: bool  # may end a list as well: `a lamp and a rug`
    inner: bool  # a sentence ends in it
    stops: bool  # a sentence ends with it

    @property
    def plain(self) -> bool:
        """An ordinary tag."""
        return not (self.clause or self.joins or self.stops)


def part_features(text: str, stretch: int) -> PartFeatures:
    """The marks of one part, without the white space around it."""
    found = _WORD.findall(text)
    low = [word.lower().replace("’", "'") for word in found]
    joins = bool(low) and low[0] in _CONTINUES
    article = bool(low) and low[0] in _DETERMINERS
    function = sum(word in _FUNCTION for word in low)
    capital = text.lstrip("\"'“‘(*")[:1].isupper() and any(word[0].islower() for word in found)
    inner, stops = bool(_INNER_STOP.search(text)), bool(_FINAL_STOP.search(text))
    enough = len(low) >= PHRASE
    return PartFeatures(
        size=len(text),
        stretch=stretch,
        function=function,
        clause=enough and ((inner and (function > 0 or stops)) or _says(low[joins:], capital)),
        long=enough and _is_long(len(low), function, capital or article),
        phrase=enough and any(word in _FUNCTION for word in low[1:]),
        capital=capital,
        article=article,
        joins=joins,
        leans=low[:1] == found[:1] and bool(low) and low[0] in _LINKS | _VERBS,
        acts=function > 0 and low[0].endswith("ing"),
        closes=joins and low[0] in _CLOSES,
        listed="and" in low[1:],
        inner=inner and function > 0,  # `guardians vol. II` tells nothing
        stops=stops,
    )


def _is_long(words: int, function: int, opened: bool) -> bool:
    """Too long for a name: `A cozy room with a sofa`, `Light comes in from the left`."""
    return words >= _LONG or (function >= 3 and (opened or words >= _LINKED))


def _says(low: Sequence[str], capital: bool) -> bool:
    """Whether a subject is followed by a verb: these words say something rather than name something."""
    subject = next((at for at, word in enumerate(low) if word in _SUBJECTS - {"that", "who", "which"}), None)
    if not capital and (subject is None or (subject and low[subject] in ("a", "an"))):
        return False
    start = 0 if capital or subject is None else subject
    if start and any(word in _LINKS for word in low[:start]):
        return False  # `view of the room that is lit`: names it
    named = True  # no preposition yet, so a noun cannot be mistaken for a verb
    for before, word, after in zip(low[start:], low[start + 1 :], [*low[start + 2 :], ""], strict=False):
        if before in ("that", "who", "which"):
            return False  # `a lamp that looks like a tree`: names it
        if word in _VERBS:
            return True
        placed = after in _DETERMINERS or after in _LINKS
        if named and placed and (word in _NOUN_LIKE or _third_person(low[start], before, word)):
            return True
        named = named and word not in _LINKS
    return False


def _third_person(first: str, before: str, word: str) -> bool:
    """`a cat sleeps (on)`: after a singular noun only a verb ends in s."""
    singular = first in ("a", "an") and before not in _FUNCTION
    return singular and word.endswith("s") and not _NO_VERB.search(word)


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


def may_contain_sentences(split: Split) -> bool:
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
    parts = [part_features(text[unit.start : unit.end], unit.stretch) for unit in units]
    runs = _bridged(parts, list(_runs(parts)))
    if _mostly_told(parts, runs):
        return _all_prose(units)
    return _merge(units, runs) if runs else units


def _all_prose(units: Sequence[Unit]) -> list[Unit]:
    return [Unit(unit.start, unit.end, unit.stretch, "prose") for unit in units]


def _mostly_told(parts: Sequence[PartFeatures], runs: Sequence[Run]) -> bool:
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


def _runs(parts: Sequence[PartFeatures]) -> Iterator[Run]:
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


def _start(parts: Sequence[PartFeatures], at: int, floor: int) -> int | None:
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


def _leaned(parts: Sequence[PartFeatures], first: int, near: Sequence[int]) -> int:
    """Further back from `of a table` to the part that it needs."""
    while parts[first].leans and first - 1 in near and not parts[first - 1].stops:
        first -= 1
    return first


def _leads_in(part: PartFeatures) -> bool:
    """`In the middle of the room, a man is reading` begins before its clause."""
    return part.capital and part.phrase and not part.stops


def _opens(parts: Sequence[PartFeatures], first: int, last: int) -> bool:
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


def _reach(parts: Sequence[PartFeatures], first: int, at: int) -> int:
    """The last part of the sentence that begins at `first` and has been followed up to `at`."""
    last = at
    told = any(part.clause for part in parts[first : at + 1])
    while not parts[last].stops and (found := _next(parts, first, last, told)) is not None:
        told = told or any(part.clause for part in parts[last + 1 : found + 1])
        last = found
    return last


def _next(parts: Sequence[PartFeatures], first: int, last: int, clause: bool) -> int | None:
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


def _bridged(parts: Sequence[PartFeatures], runs: Sequence[Run]) -> list[Run]:
    """Runs with few parts between them are one where the second reads on from the first."""
    joined: list[Run] = []
    for first, last in runs:
        before = joined[-1] if joined else None
        if before and _reads_on(parts, before, (first, last)):
            joined[-1] = (before[0], last)
        else:
            joined.append((first, last))
    return joined


def _reads_on(parts: Sequence[PartFeatures], one: Run, two: Run) -> bool:
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
