"""Generated captions by the million through parse, classify, reorder and count; each is checked.

- joining what was parsed gives the text back;
- the tags of the rewritten caption are those of the original, copy by copy (`--clean`: copies may go);
- a second run changes nothing;
- tags of one category keep their order within a stretch.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from time import perf_counter
from typing import Any

import pyarrow as pa
from hostile import CLIP, GAPS, ODD, ONTOLOGY, SENTENCES, TAGS, parsed

from tagflow.caption import FIXED, join, parse
from tagflow.stages.classify import Classify
from tagflow.stages.count import Count
from tagflow.stages.prove import prove
from tagflow.stages.reorder import PLACEHOLDER, Pins, Reorder

BATCH = 500
LETTERS = "ab,|(){}[]<>:\"'\\ .;\n\r_1T，-\u200b\ufeff\x00é客"
TERMS = [term for category in ONTOLOGY.categories for term in ONTOLOGY.terms(category)[:200]]


@dataclass
class Figures:
    """What came out. `faults` holds what broke a promise: which, and the caption."""

    captions: int = 0
    tags: int = 0
    rewritten: int = 0
    ambiguous: int = 0
    lost: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def lines(self) -> Iterator[str]:
        """The figures for people."""
        rate = self.captions / self.seconds if self.seconds else 0.0
        yield f"fuzzed captions  {self.captions:,} ({self.tags:,} tags; {rate:,.0f} captions a second)"
        yield f"  rewritten      {self.rewritten:,}; left as ambiguous {self.ambiguous:,}"
        yield f"  lost tags      {self.lost:,}"
        yield f"  faults         {len(self.faults):,}"
        yield from (f"    {what}: {text!r}" for what, text in self.faults[:20])


def caption(chance: random.Random) -> str:
    """One caption: an ordinary one, one of odd pieces, or signs that were thrown together."""
    style = chance.random()
    if style < 0.3:
        return ", ".join(chance.choices(TERMS, k=chance.randint(1, 25)))
    if style < 0.85:
        pools = (TAGS, ODD, SENTENCES, TERMS)
        pieces = (
            chance.choice(chance.choice(pools)) + (chance.choice(GAPS) if chance.random() < 0.4 else ", ")
            for _ in range(chance.randint(0, 14))
        )
        return ("\ufeff" if chance.random() < 0.05 else "") + "".join(pieces)
    return "".join(chance.choices(LETTERS, k=chance.randint(0, 60)))


def fuzz(count: int, seed: int, tell: Callable[[Figures], None] = lambda figures: None) -> Figures:
    """Check `count` captions. The same seed gives the same captions."""
    chance, figures, start = random.Random(seed), Figures(), perf_counter()  # noqa: S311
    while figures.captions < count:
        texts = [caption(chance) for _ in range(min(BATCH, count - figures.captions))]
        pins = chance.choice(
            (Pins(), Pins(), Pins(1), Pins(0, ("zkv house",)), Pins(2, ("sofa", "1girl"), "zkv house"))
        )
        _check(texts, pins, clean=chance.random() < 0.25, figures=figures)
        figures.captions += len(texts)
        figures.seconds = perf_counter() - start
        tell(figures)
    return figures


def _reordered(texts: list[str], pins: Pins, *, clean: bool) -> pa.Table:
    return Reorder(ONTOLOGY, pins)(Classify(ONTOLOGY)(parsed(texts, clean=clean)))


def _check(texts: list[str], pins: Pins, *, clean: bool, figures: Figures) -> None:
    done = Count(CLIP, 225, 150)(prove(_reordered(texts, pins, clean=clean), tidied=clean)).to_pylist()
    again = _reordered([row["rewritten"] for row in done], pins, clean=clean).to_pylist()
    for text, row, second in zip(texts, done, again, strict=True):
        figures.faults += [(what, text) for what in broken(text, row, second, pins, clean=clean)]
        figures.tags += len(row["tags"])
        figures.rewritten += row["rewritten"] != text
        figures.ambiguous += "order-ambiguous" in row["findings"]
        figures.lost += _lost(text, row, clean=clean)


def _lost(text: str, row: dict[str, Any], *, clean: bool) -> int:
    if clean:  # copies may go; whether the last of a tag went is what `prove` says, and its own tests try it
        return row["findings"].count("tag-lost")
    return (Counter(parse(text).texts()) - Counter(parse(row["rewritten"]).texts())).total()


def broken(
    text: str, row: dict[str, Any], second: dict[str, Any], pins: Pins, *, clean: bool
) -> Iterator[str]:
    """The promises that one caption breaks."""
    seen = parse(text)
    if join(seen.texts(), seen.gaps()) != text:
        yield "parse and join"
    if {"tag-lost", "tag-added"} & set(row["findings"]):
        yield "tags kept"
    if not clean and Counter(parse(row["rewritten"]).texts()) != Counter(seen.texts()):
        yield "tags kept, copy by copy"
    if second["rewritten"] != row["rewritten"]:
        yield "a second run changes nothing"
    if not clean and pins == Pins() and not _is_stable(seen.texts(), row):
        yield "stable"
    if row["tokens"] is None:
        yield "counted"


def _is_stable(before: list[str], row: dict[str, Any]) -> bool:
    """Whether tags of one category stand as they stood, in each stretch of tags that may move."""
    places = {tag: [at for at, one in enumerate(before) if one == tag] for tag in set(before)}
    order = [places[tag].pop(0) for tag in row["tags"]]
    rows = zip(row["segments"], row["categories"], order, row["tags"], strict=True)
    for segment, group in groupby(rows, key=lambda one: one[0]):
        last: dict[str, int] = {}
        for _, category, at, tag in group:
            if tag == PLACEHOLDER:  # it goes in front
                continue
            if segment != FIXED and at < last.get(category, -1):
                return False
            last[category] = at
    return True
