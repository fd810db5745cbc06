"""Which parts of a line are running text and which are tags; open it where a line is read as what it is not.

A caption written by a language model is a paragraph; sorting its commas would destroy it. Each part between
two commas has points (features.py). The line is read on the path through its parts that has most points,
where going from tags to text or back costs some, less where a sentence ends. Where the path is not clear the
line is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from tagflow.captions.features import (
    PartFeatures,
    final_mark,
    is_abbreviation,
    is_subject,
    part_features,
)
from tagflow.captions.split import Split, split_line

# `in the room. The lamp`, `the sea. smile`; not `vol. 2`, `u.s. navy`, `wait... what`.
_STOP = re.compile(r"(?<=[^\W\d_]{3})[.!?][\"'”’)]*\s+(?=[\"'“‘(]?[^\W_])|(?<=[)\"”])[.!?]\s+(?=[^\W_])")
_WIDE_STOP = re.compile("[。！？]")
_OPENING = re.compile(r"[\"'“‘(]?(?:an?|the|this|these|those|there|its?|in|on|at)\b", re.IGNORECASE)

_CHANGE, _CHANGE_AT_STOP = 3.0, 0.5  # what it costs to go from tags to text or back
_PARTED = 8.0  # what it costs to part an adjective from its noun
_DOUBT = 3.0  # a line is left alone unless it is a list of tags by so many points ...
_TOLD, _PHRASE = 2.0, 8.0  # ... and by so many more for each part of it that by itself is text
_SLIGHT = (
    3.0,
    3.0,
    8.0,
)  # by so many points tags beside text are tags, where none, one or both edges are no stop

_EDGE = -1.5  # what has more points, and only a comma between it and text, is text
_TAGGED = -3.0  # what has fewer is written as only tags are: `1girl`, `long_hair`
_MAY_BE_TOLD = -0.5  # what has more may be part of a sentence
_SENTENCE = 5.0  # what has more and opens with an article has its verb: it is its sentence's beginning

UnitKind = Literal["tag", "subject", "sentence", "prose"]


class Unit(NamedTuple):
    """What moves as one: `text[start:end]` of a line, in the given stretch."""

    start: int
    end: int
    stretch: int
    kind: UnitKind = "tag"


class _Part(NamedTuple):
    """One part of a line: `text[start:end]`."""

    start: int
    end: int
    stretch: int
    looks: PartFeatures


def may_contain_sentences(split: Split) -> bool:
    """Whether to look for running text at all: a line of short tags that ends in no full stop holds none."""
    text = split.text
    if not split.parts:
        return False
    if text.rstrip()[-1:] in (".", "!", "?") or _OPENING.match(text) or _WIDE_STOP.search(text):
        return True
    return any(text.count(" ", start, end) >= 3 for start, end in split.parts) or bool(_STOP.search(text))


def read_units(split: Split) -> tuple[list[Unit], bool]:
    """The units of a line (tags, its subject, sentences; or all `prose`), and whether these are in doubt."""
    text, spans = split.text, list(_spans(split))
    if _WIDE_STOP.search(text):  # no list of tags has a Chinese full stop
        return [Unit(*span, "prose") for span in spans], False
    last = len(spans) - 1
    parts = [
        _Part(start, end, stretch, part_features(text[start:end], first=at == 0, last=at == last))
        for at, (start, end, stretch) in enumerate(spans)
    ]
    told = _with_edges(text, parts, _with_whole_sentences(text, parts, _told(parts)))
    if all(told):
        return [Unit(*span, "prose") for span in spans], False
    units = _units(split, parts, told)
    opening = text[units[0].start : units[0].end]
    if len(units) > 1 and units[0].end == parts[0].end and is_subject(opening, told=told[0]):
        units[0] = units[0]._replace(kind="subject")
    for at, unit in enumerate(units):
        behind = units[at + 1].start if at + 1 < len(units) else len(text)
        if unit.kind != "sentence" and not text[unit.end : behind].strip():  # no comma stands behind it
            units[at] = unit._replace(end=unit.end - final_mark(text[unit.start : unit.end]))
    doubt = len(parts) > 1 and not any(told) and (_is_doubtful(parts, _DOUBT) or _is_written_out(text, parts))
    return units, doubt


def loose_parts(text: str) -> list[str]:
    """The parts of a tag or a sentence between its commas and full stops."""
    if "," not in text and not _STOP.search(text):
        return [text]
    return [text[start:end] for start, end, _ in _spans(split_line(text))] or [text]


def _spans(split: Split) -> Iterator[tuple[int, int, int]]:
    """Start, end and stretch of what stands between commas and full stops; a stop belongs to what it ends."""
    text = split.text
    for (start, end), stretch in zip(split.parts, split.stretches, strict=True):
        for found in _STOP.finditer(text, start, end):
            if not is_abbreviation(text[start : found.start()]):
                yield start, start + len(text[start : found.end()].rstrip()), stretch
                start = found.end()
        yield start, end, stretch


def _units(split: Split, parts: Sequence[_Part], told: Sequence[bool]) -> list[Unit]:
    """Neighbours that are text are one sentence; tags that only a full stop parts are one tag."""
    begins = {start for start, _ in split.parts}
    units: list[Unit] = []
    for (start, end, stretch, _), is_told in zip(parts, told, strict=True):
        kind: UnitKind = "sentence" if is_told else "tag"
        before = units[-1] if units else None
        joined = (
            before and (before.kind, before.stretch) == (kind, stretch) and (is_told or start not in begins)
        )
        if before and joined:
            units[-1] = before._replace(end=end)
        else:
            units.append(Unit(start, end, stretch, kind))
    return units


def _told(parts: Sequence[_Part]) -> list[bool]:
    """Which parts are running text: the path through the line that has most points."""
    totals = (0.0, parts[0].looks.points)  # as tags, as text
    came: list[tuple[int, int]] = []  # for each further part, from which of both it is reached as either
    for before, part in pairwise(parts):
        ways = [[totals[one] - _change(before, part, one, two) for one in (0, 1)] for two in (0, 1)]
        came.append((int(ways[0][1] > ways[0][0]), int(ways[1][1] > ways[1][0])))
        totals = (max(ways[0]), max(ways[1]) + part.looks.points)
    state = int(totals[1] > totals[0])
    path = [bool(state)]
    for states in reversed(came):
        state = states[state]
        path.append(bool(state))
    path.reverse()
    return _without_slight_tags(parts, path) if any(path) else path


def _with_whole_sentences(text: str, parts: Sequence[_Part], told: Sequence[bool]) -> list[bool]:
    """Also told: what stands before a full stop in a line that begins with a capital, and between the first
    capital and the full stop at the end: `sofa, lamp, Warm, golden light fills the room.`
    """
    made = list(told)
    capital = [text[part.start : part.start + 1].isupper() for part in parts]
    stop = next((at for at, part in enumerate(parts) if part.looks.stops), len(parts))
    if capital[0] and stop < len(parts) - 1 and _is_said(parts[: stop + 1]):
        made[: stop + 1] = [True] * (stop + 1)
    first = capital.index(True) if any(capital) else 0
    if first and parts[-1].looks.stops and _is_said(parts[first:]):
        made[first:] = [True] * (len(parts) - first)
    return made


def _with_edges(text: str, parts: Sequence[_Part], told: Sequence[bool]) -> list[bool]:
    """Also told: what stands beside text and is no clear tag: `a man sits by a lamp, gazes at it, smile`.

    Text has no clear border, but a subject ends with its own comma.
    """
    made = list(told)
    first = parts[0]
    alone = len(parts) > 1 and not told[1] and is_subject(text[first.start : first.end], told=True)
    for at in range(1, len(parts)):
        before, part = parts[at - 1], parts[at]
        if made[at] or not made[at - 1] or before.stretch != part.stretch or (at == 1 and alone):
            continue
        if before.looks.stops:
            more = _next_sentence(text, parts[at:])
            made[at : at + more] = [True] * more
        else:
            made[at] = part.looks.points > _EDGE or part.looks.leans
    for at in reversed(range(1, len(parts))):
        if made[at] and not made[at - 1] and not (alone and at == 1):
            head = _head(text, parts, at)
            made[head:at] = [True] * (at - head)
    return made


def _next_sentence(text: str, parts: Sequence[_Part]) -> int:
    """How many parts behind a full stop are the next sentence or begin it: 1 of `Below, the hills roll on`.

    All of `Warm light, white walls.`, none of `Smile, Hat` or `smile, hat`.
    """
    capital = [text[part.start].isupper() for part in parts]
    if capital[0]:
        end = next((at + 1 for at, part in enumerate(parts) if part.looks.stops), 0)
        if end and not any(capital[1:end]) and all(part.looks.points > _TAGGED for part in parts[:end]):
            return end
        if len(parts) > 1 and not capital[1] and parts[1].looks.points > _EDGE:
            return 1
    return int(parts[0].looks.points > 0)


def _head(text: str, parts: Sequence[_Part], end: int) -> int:
    """Where the sentence begins that goes on in part `end`: `sofa, lamp, a long bench, rugs, and a vase`."""
    first = end
    opens = parts[end].looks.points > _SENTENCE and _OPENING.match(text, parts[end].start)
    if opens or text[parts[end].start].isupper():
        return end
    for at in range(end - 1, -1, -1):
        if parts[at].stretch != parts[end].stretch or parts[at].looks.stops:
            break
        if parts[at].looks.points > (0.0 if first < at + 1 else _EDGE):
            first = at
    return first


def _is_said(parts: Sequence[_Part]) -> bool:
    """Whether parts of one stretch hold anything that reads like running text."""
    return parts[0].stretch == parts[-1].stretch and any(part.looks.points > 0 for part in parts)


def _change(before: _Part, part: _Part, one: int, two: int) -> float:
    """What it costs that `before` is text (1) or a tag (0), and `part` the one or the other."""
    if before.stretch != part.stretch:
        return 0.0
    cost = 0.0 if one == two else _CHANGE_AT_STOP if before.looks.stops else _CHANGE
    if two and not one and part.looks.leans:
        cost += _CHANGE
    if not two and before.looks.unfinished:
        cost += _PARTED
    return cost


def _without_slight_tags(parts: Sequence[_Part], path: Sequence[bool]) -> list[bool]:
    """Tags between or beside sentences are tags only if they clearly are: else they are read with the text.

    One tag alone in front of text, as a trigger is, or behind it cannot be sorted, and is not asked.
    """
    made, at = list(path), 0
    while at < len(path):
        end = at + 1
        while end < len(path) and path[end] == path[at] and parts[end].stretch == parts[at].stretch:
            end += 1
        edges = [edge for edge in (at, end) if 0 < edge < len(path) and path[edge - 1] != path[edge]]
        alone = end - at == 1 and len(edges) == 1 and (at == 0 or path.count(False) > 1)
        if edges and not path[at] and not alone:
            cost = sum(_change(parts[edge - 1], parts[edge], path[edge - 1], path[edge]) for edge in edges)
            open_edges = sum(not parts[edge - 1].looks.stops for edge in edges)
            if _is_doubtful(parts[at:end], cost + _SLIGHT[open_edges]):
                made[at:end] = [True] * (end - at)
        at = end
    return made


def _is_written_out(text: str, parts: Sequence[_Part]) -> bool:
    """Whether a line that ends in a full stop opens with an article, or a capital and holds many phrases.

    Not where any part is written as only tags are.
    """
    if not parts[-1].looks.stops or any(part.looks.points < _TAGGED for part in parts):
        return False
    phrases = sum(part.looks.points > _MAY_BE_TOLD for part in parts[1:-1])
    capital = text[parts[0].start].isupper()
    return bool(_OPENING.match(text)) or (capital and 8 * phrases >= len(parts))


def _is_doubtful(parts: Sequence[_Part], least: float) -> bool:
    """Whether what was read as tags may be a description all the same: sorted, it would be destroyed."""
    clear = -sum(part.looks.points for part in parts)
    phrases = sum(part.looks.points > _TOLD for part in parts)
    return clear < least + _PHRASE * phrases or any(part.looks.closes for part in parts)
