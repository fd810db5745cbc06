"""Prove: no tag was lost and none was added on the way; open it for a `tag-lost` that is none.

Both texts were parsed once, the rewritten one after it was written; here their tags are cut out of the texts
by those spans, and whatever lies between the spans must be a separator. So no list of tags is believed. What
must stay is the multiset of tags without the marks that end a line, those marks, and each sentence in its
order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from tagflow.captions.grammar import gaps_between, parse, tag_key
from tagflow.captions.sentences import loose_parts
from tagflow.captions.split import USUAL_SEPARATOR, WIDE_COMMA
from tagflow.schema import add_findings, rows

_MARKS = ".!?"
_STOPS = frozenset(".!?\"'”’)")


def prove(
    table: pa.Table, *, tidied: bool, sentences: bool = True, separators: Sequence[str] = ()
) -> pa.Table:
    """Add `tag-lost`, `tag-added`, `sentence-torn` where `rewritten` is more than an order of `original`.

    `tidied`: `--clean` was given, so copies of a tag may have gone; its last copy may not. `sentences` false:
    the rewritten text is older than the promise that sentences keep their order. `separators`:
    the keep_tokens_separator of this run, and that of the run which wrote the texts.
    """
    names = ("original", "original_starts", "original_ends", "rewritten", "starts", "ends", "original_told")
    columns = [rows(table, name) for name in names]
    found: list[list[tuple[str, str]]] = []
    for original, starts, ends, rewritten, *now, told in zip(*columns, strict=True):
        if original is None or rewritten is None or original == rewritten:
            found.append([])
            continue
        before = _tags(original, starts, ends, tidied=tidied, separators=separators)
        after = _tags(rewritten, *now, tidied=tidied, separators=separators)
        if before != after:
            before, after = (
                _loosened(counted, tidied=tidied, separators=separators) for counted in (before, after)
            )
        found.append(
            [("tag-lost", tag) for tag in before - after] + [("tag-added", tag) for tag in after - before]
        )
        if sentences and not tidied:
            spans = zip(starts, ends, told, strict=False)
            found[-1] += _torn([original[start:end] for start, end, is_told in spans if is_told], rewritten)
    return add_findings(table, found)


def _tags(
    text: str, starts: Sequence[int], ends: Sequence[int], *, tidied: bool, separators: Sequence[str]
) -> Counter[str]:
    """The tags of a text, and what stands between them without being a separator."""
    if tidied and WIDE_COMMA.search(text):
        return Counter(parse(text, fullwidth_commas=True, separator=next(iter(separators), None)).texts())
    tags = Counter([text[start:end] for start, end in zip(starts, ends, strict=True)])
    return tags + _between(text, starts, ends, separators)


def _loosened(tags: Counter[str], *, tidied: bool, separators: Sequence[str]) -> Counter[str]:
    """Tags by the parts between their commas, without the marks behind them, and the marks themselves.

    One reading may take for a sentence what another takes for tags, a separator may be named that was text
    before, and tagflow 0.1 moved the mark that ends a line with the line's last tag: nothing is lost by that.
    Where `--clean` was given, each key counts once and no mark.
    """
    counted: Counter[str] = Counter()
    for tag, times in tags.items():
        for separator in separators:
            tag = tag.replace(separator, ",")
        for part in loose_parts(WIDE_COMMA.sub(",", tag) if tidied else tag):
            bare = part.rstrip(_MARKS)
            if bare:
                counted[tag_key(bare) if tidied else bare] += times
            for mark in part[len(bare) :]:
                counted[mark] += times
    return Counter({tag: 1 for tag in counted if tag not in _MARKS}) if tidied else counted


def _torn(sentences: Sequence[str], text: str) -> list[tuple[str, str]]:
    """The first sentence that does not stand whole behind those before it."""
    at = 0
    for sentence in sentences:
        at = text.find(sentence, at)
        if at < 0:
            return [("sentence-torn", sentence)]
        at += len(sentence)
    return []


def _between(
    text: str, starts: Sequence[int], ends: Sequence[int], separators: Sequence[str]
) -> Counter[str]:
    """What is no separator between the tags, which counts as a tag: spans that miss a word cannot hide it.

    Where nothing parts two tags of a line, the trainer reads both as one, and so does this. A full stop parts
    a sentence from what stands beside it.
    """
    found: Counter[str] = Counter()
    for at, gap in enumerate(gaps_between(text, starts, ends)):
        if gap == ", ":
            continue
        mark = gap[:1] if at and gap[:1] in tuple(_MARKS) else ""
        rest = gap[len(mark) :].lstrip("\ufeff")
        for parting in (*separators, USUAL_SEPARATOR, "BREAK"):
            rest = rest.replace(parting, ",")
        stopped = mark or (at and text[ends[at - 1] - 1] in _STOPS)
        parted = set(rest) & set(",\r\n") or (stopped and rest[:1].isspace())
        if rest.replace(",", "").strip() or (0 < at < len(starts) and not parted):
            found[text[starts[at - 1] if at else 0 : ends[at] if at < len(ends) else len(text)]] += 1
        elif mark:
            found[mark] += 1
    return found
