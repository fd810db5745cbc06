"""The long fuzz: made-up captions down the real stages, batch after batch, each held to what is promised.

Half of the batches with `--clean`; each with one of the ontologies that come with tagflow, and other pins.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from multiprocessing import get_context
from random import Random
from typing import Any

import pyarrow as pa
from children import Figures
from hostile import CLIP
from made_up import Made, Maker, words
from oracle import as_made, fold, lost_and_added

from tagflow.audit.file import Limits
from tagflow.captions.grammar import FIXED, gaps_between, join
from tagflow.judge.judge import judge
from tagflow.ontology import Ontology
from tagflow.pipeline import Options
from tagflow.schema import batch
from tagflow.stages.classify import Classify
from tagflow.stages.parse import parse_captions
from tagflow.stages.prove import prove
from tagflow.stages.reorder import Pins, Reorder

BATCH = 250
PROCESSES = 2
SLOW = 1.0  # seconds of a core: a batch takes less, so must any caption
DATASET, WORDS = 40, 4000  # batches that draw on the same words, as captions of a dataset do; how many words
MOST_TOLD = 100  # faults in full; all are counted
REFUSED = ("tag-lost", "tag-added", "order-ambiguous")  # the caption stays as it is
ONTOLOGIES = ("architecture", "danbooru")
PINS = (Pins(), Pins(1), Pins(triggers=("sofa", "1girl")), Pins(2, detected=("zkv house",)))
COLUMNS = (
    "source", "tags", "starts", "ends", "segments", "categories", "rewritten", "moved", "status", "findings",
)  # fmt: skip
Rows = list[dict[str, Any]]


@dataclass
class Seen:
    """What was found in one batch, or in all so far."""

    counts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __iadd__(self, other: Seen) -> Seen:
        self.counts += other.counts
        self.refused += other.refused
        self.faults = (self.faults + other.faults)[:MOST_TOLD]
        return self

    def fault(self, kind: str, made: Made, what: object = "") -> None:
        self.counts[kind] += 1
        self.faults.append(f"{kind}: {made.kind} {made.text[:2000]!r}: {what}"[:3000])


@dataclass(frozen=True)
class Way:
    """How one batch goes down the stages."""

    classify: Classify
    pins: Pins
    clean: bool
    tokens: bool  # whether they are counted, which takes long and changes nothing

    @property
    def ontology(self) -> Ontology:
        return self.classify.ontology

    def parsed(self, texts: Sequence[str]) -> pa.Table:
        """These captions before they are put in order."""
        count = len(texts)
        table = batch(
            path=[f"{at}.txt" for at in range(count)], text=texts, original=texts, selected=[True] * count,
            relax_level=[None] * count, findings=[[]] * count, details=[[]] * count,
        )  # fmt: skip
        return self.classify(parse_captions(table, clean=self.clean))

    def ordered(self, table: pa.Table) -> pa.Table:
        return Reorder(self.ontology, self.pins)(table)

    def judged(self, table: pa.Table) -> pa.Table:
        table = Options().count(CLIP)(table) if self.tokens else table
        return judge(prove(table, tidied=self.clean), Limits(), measured=False, trained=False)[0]


def _rows(table: pa.Table) -> Rows:
    columns = {name: table.column(name).to_pylist() for name in COLUMNS if name in table.column_names}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@cache
def _ontology(name: str) -> tuple[Ontology, list[str]]:
    return Ontology.load(name), words(name)


@lru_cache(2 * len(ONTOLOGIES))
def _dataset(name: str, triggers: tuple[str, ...], number: int) -> tuple[Classify, list[str]]:
    ontology, lexicon = _ontology(name)
    return Classify(ontology, triggers), Random(number).sample(lexicon, WORDS)  # noqa: S311 - no secret


def fuzzed(number: int, count: int = BATCH) -> Seen:
    """Make and look at one batch of captions."""
    name, pins = ONTOLOGIES[number // 2 % len(ONTOLOGIES)], PINS[number // 4 % len(PINS)]
    classify, lexicon = _dataset(name, pins.triggers, number // DATASET)
    make = Maker(number, lexicon)
    way = Way(classify, pins, clean=bool(number % 2), tokens=number % 8 < 2)
    return looked_at([make() for _ in range(count)], way)


def looked_at(made: Sequence[Made], way: Way) -> Seen:
    """Look at captions together; one by one where they are slow or an error comes up."""
    started, found = time.process_time(), Seen()
    try:
        _look(made, way, found)
    except Exception as error:  # whatever it is, it is what we are looking for
        if len(made) == 1:
            found = Seen(Counter(captions=1))
            found.fault("errors", made[0], repr(error))
            return found
        return _one_by_one(made, way)
    taken = time.process_time() - started
    if taken < SLOW:
        return found
    if len(made) > 1:
        return _one_by_one(made, way)
    found.fault("slow", made[0], f"{taken:.1f} s")
    return found


def _one_by_one(made: Sequence[Made], way: Way) -> Seen:
    found = Seen()
    for one in made:
        found += looked_at([one], way)
    return found


def _look(made: Sequence[Made], way: Way, found: Seen) -> None:
    table = way.parsed([one.text for one in made])
    before, after = _rows(table), _rows(way.judged(way.ordered(table)))
    changed = [at for at, row in enumerate(after) if row["rewritten"] != made[at].text]
    second = _rows(way.ordered(way.parsed([after[at]["rewritten"] for at in changed])))
    again = dict(zip(changed, second, strict=True))
    for at, (one, old, new) in enumerate(zip(made, before, after, strict=True)):
        found.counts.update(captions=1, tags=len(new["tags"]), rewritten=new["status"] == "rewritten")
        found.refused.update(code for code in new["findings"] if code in REFUSED)
        _hold(one, old, new, way, found)
        if at in again:
            _hold_again(one, new, again[at], found)


def _hold(one: Made, old: dict[str, Any], new: dict[str, Any], way: Way, found: Seen) -> None:
    """One caption against all that is promised."""
    lost, added = lost_and_added(one.text, new["rewritten"], clean=way.clean)
    if lost:
        found.fault("lost", one, lost)
    if added:
        found.fault("added", one, added)
    if one.tags is not None and not as_made(new["rewritten"], one.tags, clean=way.clean):
        found.fault("torn", one, new["rewritten"])
    if join(old["tags"], gaps_between(old["source"], old["starts"], old["ends"])) != old["source"]:
        found.fault("not joined", one)
    if not {"tag-lost", "tag-added"}.isdisjoint(new["findings"]):
        found.fault("refused for nothing", one, new["rewritten"])
    if new["moved"]:
        for kind in _out_of_order(old, new, way):
            found.fault(kind, one, new["rewritten"])


def _hold_again(one: Made, new: dict[str, Any], again: dict[str, Any], found: Seen) -> None:
    """The rewritten caption went down once more: nothing changes, and it is read as it was meant."""
    if again["rewritten"] != new["rewritten"]:
        found.fault("changed by a second run", one, (new["rewritten"], again["rewritten"]))
    elif again["tags"] != new["tags"] or again["moved"]:
        found.fault("read differently", one, (new["tags"], again["tags"]))


def _out_of_order(old: dict[str, Any], new: dict[str, Any], way: Way) -> Iterator[str]:
    """Tags of one category stay in their author's order, and categories are in the ontology's."""
    if _by_category(old, way.pins) != _by_category(new, way.pins):
        yield "not stable"
    if not way.pins.keep_first and not way.pins.triggers:
        ranked = [
            (segment, way.ontology.rank(category))
            for tag, segment, category in zip(new["tags"], old["segments"], new["categories"], strict=True)
            if segment != FIXED and fold(tag) != "[trigger]"
        ]
        if ranked != sorted(ranked):
            yield "not in order"


def _by_category(row: dict[str, Any], pins: Pins) -> list[str]:
    """The tags of a caption, sorted by stretch and category alone; triggers have an order of their own."""
    named = (*pins.triggers, "[trigger]")
    keyed = [
        (segment, "" if segment == FIXED else category, tag)
        for tag, segment, category in zip(row["tags"], row["segments"], row["categories"], strict=True)
        if not any(word in fold(tag) for word in named)
    ]
    return [tag for _, _, tag in sorted(keyed, key=lambda one: one[:2])]


def fuzz(captions: int) -> Figures:
    """Look at so many captions; Ctrl-C ends it with the figures so far."""
    seen, started = Seen(), time.monotonic()
    batches = max(1, round(captions / BATCH))
    interrupted = False
    try:
        for at, one in enumerate(_all(batches), start=1):
            seen += one
            if at % 20 == 0:
                _progress(seen, at / batches, time.monotonic() - started)
    except KeyboardInterrupt:
        interrupted = True
    return _figures(seen, time.monotonic() - started, cut_off=interrupted)


def _all(batches: int) -> Iterator[Seen]:
    if batches < 10 * PROCESSES:
        yield from map(fuzzed, range(batches))
        return
    # Started afresh and not forked: Arrow may have threads by now. Ctrl-C is ours alone to hear.
    with get_context("spawn").Pool(PROCESSES, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield from pool.imap_unordered(fuzzed, range(batches))


def _progress(seen: Seen, share: float, seconds: float) -> None:
    left = seconds / share - seconds
    done = f"{seen.counts['captions']} captions, {share:.0%}, {len(seen.faults)} faults"
    print(f"fuzz: {done}, {left:.0f} s left", file=sys.stderr, flush=True)


def _figures(seen: Seen, seconds: float, *, cut_off: bool) -> Figures:
    wanted = dict.fromkeys(("captions", "tags", "rewritten", "lost", "added"), 0)
    counts = Counter({**wanted, **seen.counts, "a second": round(seen.counts["captions"] / seconds)})
    return Figures("fuzzed captions", counts, seen.refused, seen.faults, cut_off=cut_off)
