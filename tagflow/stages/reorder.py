"""Reorder: categories in their order, pins in front; open it for a tag that stands in the wrong place.

A caption already in order keeps its bytes. In a changed stretch tags are joined with `, `; what stands
outside it, and everything inside a tag, stays as it was. A new order that would be read differently than it
was meant (an unclosed bracket that meets a partner, say) is not used: the caption stays, `order-ambiguous`.

Coarser orders have lower relax levels: each merges two neighbouring bands of the level before, so whatever it
tells apart the stricter levels tell apart, too. Relax level 1, the last, is the text as it came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa

from tagflow.captions.grammar import FIXED, Caption, gaps_between, holds, join, parse, tag_key
from tagflow.captions.split import WIDE_COMMA
from tagflow.files.read import sha256
from tagflow.ontology import Ontology
from tagflow.schema import add, add_findings, rows

PLACEHOLDER = "[trigger]"
"""Written by several taggers where the trigger word will stand; it goes in front as a trigger does."""

_FIRST, _TRIGGER, _SORTED = 0, 1, 2
Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Row:
    """One caption's new columns."""

    text: str | None
    tags: list[str] | None
    starts: list[int] | None
    ends: list[int] | None
    categories: list[str] | None
    moved: int | None
    relax_level: int | None
    findings: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Pins:
    """What stays in front: the first `keep_first` tags of each line where they are, then `triggers` in
    the order given, and `detected`, the folders' own triggers, where they already stand first. A tag that
    contains a trigger's words is the trigger's tag."""

    keep_first: int = 0
    triggers: tuple[str, ...] = ()
    detected: tuple[str, ...] = ()


def relax_levels(categories: int) -> tuple[int, ...]:
    """The relax levels, each the number of its bands, strictest first: 14, 7, 4, 2, 1 for 14 categories."""
    return (categories,) if categories <= 1 else (categories, *relax_levels(-(-categories // 2)))


def relaxed_note(level: int, categories: int) -> tuple[str, str]:
    """The finding on a caption that stands on a coarser relax level than the first."""
    return "order-relaxed", f"relax level {level} of {categories}" + (", the original" if level == 1 else "")


@dataclass(slots=True)
class Reorder:
    """`source, tags, ..., categories` -> `rewritten, sha256_rewritten, moved`, and tags in the new order.

    A new text is parsed, to see that it is read as it was meant; where its tags stand is that parse's word.

    `relax_level` says for each caption how many bands of categories are told apart, null for all of them;
    what was put in order leaves with the number itself. Level 1 is `source` untouched, triggers and all.
    `separator`: the keep_tokens_separator that was named.
    """

    ontology: Ontology
    pins: Pins = Pins()
    separator: str | None = None

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows without text keep nulls; rows not selected keep their text as it is."""
        columns = (
            "selected", "text", "source", "relax_level",
            "tags", "starts", "ends", "segments", "lines", "categories",
        )  # fmt: skip
        done = [self._row(*row) for row in zip(*(rows(table, name) for name in columns), strict=True)]
        table = add(
            table,
            rewritten=[row.text for row in done],
            tags=[row.tags for row in done],
            starts=[row.starts for row in done],
            ends=[row.ends for row in done],
            categories=[row.categories for row in done],
            moved=[row.moved for row in done],
            relax_level=[row.relax_level for row in done],
            sha256_rewritten=[None if row.text is None else sha256(row.text.encode()) for row in done],
        )
        return add_findings(table, [row.findings for row in done])

    def _row(
        self, selected: bool, text: str | None, source: str | None, relax_level: int | None, *columns: Any
    ) -> _Row:
        if text is None or source is None:
            return _Row(None, None, None, None, None, None, None, [])
        tags, starts, ends, segments, lines, categories = columns
        if not selected:
            return _Row(text, tags, starts, ends, categories, 0, None, [("not-selected", "")])
        bands = relax_level or len(self.ontology.categories)
        order = self.order(tags, segments, lines, categories, bands)
        moved = sum(new != old for new, old in enumerate(order))
        findings = self._pin_findings(tags, lines)
        if relax_level is not None and relax_level < len(self.ontology.categories):
            findings.append(relaxed_note(relax_level, len(self.ontology.categories)))
        if not moved:
            return _Row(source, tags, starts, ends, categories, 0, bands, findings)
        gaps = gaps_between(source, starts, ends)
        changed = _rejoin(gaps, segments, order)
        placed = [tags[at] for at in order]
        made = parse(join(placed, changed), separator=self.separator)
        if not _reads_as(made, placed, segments, lines) or not self._same_when_wide(source, made.text):
            findings.append(("order-ambiguous", ""))
            return _Row(source, tags, starts, ends, categories, 0, relax_level, findings)
        starts, ends = [tag.start for tag in made.tags], [tag.end for tag in made.tags]
        categories = [categories[at] for at in order]
        return _Row(made.text, placed, starts, ends, categories, moved, bands, findings)

    def order(
        self,
        tags: Sequence[str],
        segments: Sequence[int],
        lines: Sequence[int],
        categories: Sequence[str],
        bands: int,
    ) -> list[int]:
        """The new order of one caption's tags, as indices into the old one. Stable; crosses no stretch."""
        order = list(range(len(tags)))
        if bands == 1:
            return order
        keys = self._keys(tags, lines, categories, relax_levels(len(self.ontology.categories)).index(bands))
        for segment, group in groupby(range(len(tags)), key=segments.__getitem__):
            members = list(group)
            if segment != FIXED:
                order[members[0] : members[-1] + 1] = sorted(members, key=keys.__getitem__)
        return order

    def _keys(
        self, tags: Sequence[str], lines: Sequence[int], categories: Sequence[str], merged: int
    ) -> list[Key]:
        """`merged`: how often neighbouring bands were made one."""
        keys: list[Key] = []
        line, first = -1, 0
        for at, (tag, category) in enumerate(zip(tags, categories, strict=True)):
            if lines[at] != line:
                line, first = lines[at], at
            if at - first < self.pins.keep_first or (at == first and self._is_detected(tag)):
                keys.append((_FIRST, at))
            elif (trigger := self.trigger(tag)) is not None:
                keys.append((_TRIGGER, trigger))
            else:
                keys.append((_SORTED, self.ontology.rank(category) >> merged))
        return keys

    def trigger(self, tag: str) -> int | None:
        """The place of the named trigger that a tag is or contains; None for any other tag."""
        words = self.pins.triggers
        place = next((at for at, word in enumerate(words) if holds(tag, word)), None)
        return len(words) if place is None and tag_key(tag) == PLACEHOLDER else place

    def _is_detected(self, tag: str) -> bool:
        return any(holds(tag, word) for word in self.pins.detected)

    def _pin_findings(self, tags: Sequence[str], lines: Sequence[int]) -> list[tuple[str, str]]:
        """A detected trigger that stands elsewhere, where none stands first."""
        first = {at for at in range(len(tags)) if not at or lines[at - 1] != lines[at]}
        found = [at for at, tag in enumerate(tags) if self._is_detected(tag)]
        return [("trigger-not-first", tags[at]) for at in found if not first.intersection(found)]

    def _same_when_wide(self, before: str, after: str) -> bool:
        """Whether both hold the same tags, too, where full-width commas part them, as for `--clean`."""
        if WIDE_COMMA.search(before) is None:
            return True
        read = (parse(text, fullwidth_commas=True, separator=self.separator) for text in (before, after))
        one, two = (Counter(caption.texts()) for caption in read)
        return one == two


def _rejoin(gaps: Sequence[str], segments: Sequence[int], order: Sequence[int]) -> list[str]:
    """The gaps for the new order: inside a changed stretch they become `, `, empty tags keep their commas."""
    changed = {segments[new] for new, old in enumerate(order) if new != old}
    made = list(gaps)
    for at in range(1, len(segments)):
        if segments[at] == segments[at - 1] and segments[at] in changed:
            made[at] = "," * gaps[at].count(",") + " "
    return made


def _reads_as(caption: Caption, tags: Sequence[str], segments: Sequence[int], lines: Sequence[int]) -> bool:
    """Whether the new text was parsed into just these tags, in the same stretches.

    A line that may not be ordered has its old bytes, and so its old reading; the text does not always show
    why (`--clean` found something that it must not tidy). A tag that came to the front may be read as the
    line's subject, which stays there.
    """
    movable = {line for line, segment in zip(lines, segments, strict=True) if segment != FIXED}
    read = [tag.segment if tag.line in movable else FIXED for tag in caption.tags]
    subjects = {at for at, tag in enumerate(caption.tags) if not at or caption.tags[at - 1].line != tag.line}
    return caption.texts() == list(tags) and all(
        new == old or (new == FIXED and at in subjects)
        for at, (new, old) in enumerate(zip(read, segments, strict=True))
    )
