"""Count: tokens and windows of every caption, exactly as sd-scripts makes them.

Each line counts by itself, stripped, as the trainer reads it; a caption's figures are those of its longest.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, repeat
from operator import attrgetter, itemgetter

import pyarrow as pa

from tagflow.captions.grammar import line_spans, parse, stripped_lines, tag_key
from tagflow.clip.tokenizer import WINDOW, Tokenizer
from tagflow.findings.wording import some
from tagflow.schema import add, add_findings, rows

_Tags = list[tuple[int, int, int]]  # start, end, line
_Place = tuple[str, int, int]

_NAMED = 6  # so many tags are named in a finding; more would not be read


@dataclass(frozen=True, slots=True)
class Count:
    """`original, rewritten` -> `tokens, windows`. Without a tokenizer both are null, and captions say so.

    What windows cut is looked for in captions of more than one window; the others are only counted.
    """

    tokenizer: Tokenizer | None
    max_tokens: int
    warn_tokens: int

    def __call__(self, table: pa.Table) -> pa.Table:
        """Add the columns and the findings on long captions."""
        texts = rows(table, "rewritten")
        if self.tokenizer is None:
            table = add(table, tokens=[None] * len(texts), windows=[None] * len(texts))
            return add_findings(table, [[("tokens-not-counted", "")] if text else [] for text in texts])
        tokens = self._longest(self.tokenizer, texts)
        table = add(
            table,
            tokens=tokens,
            windows=[None if count is None else max(1, -(-count // WINDOW)) for count in tokens],
        )
        found = [
            []
            if text is None or (count or 0) <= WINDOW
            else list(self._findings(self.tokenizer, original, text, count or 0, tags))
            for original, text, count, tags in zip(
                rows(table, "original"), texts, tokens, _parsed(table), strict=True
            )
        ]
        return add_findings(table, found)

    def _longest(self, tokenizer: Tokenizer, texts: Sequence[str | None]) -> list[int | None]:
        lines = [stripped_lines(text) for text in texts if text is not None]
        counts = iter(tokenizer.count_many([line for group in lines for line in group]))
        longest = iter([max(next(counts) for _ in group) for group in lines])
        return [None if text is None else next(longest) for text in texts]

    def _findings(
        self, tokenizer: Tokenizer, original: str | None, text: str, count: int, tags: _Tags | None
    ) -> Iterator[tuple[str, str]]:
        yield "window-exceeded", f"{count} tokens"
        straddling, cut = self._tags_at_borders(tokenizer, text, _tags(text) if tags is None else tags)
        if straddling:
            yield "window-straddled", some(straddling, _NAMED)
        if original is not None and original != text:
            spilled = _spilled(list(_places(tokenizer, original)), list(_places(tokenizer, text)))
            if spilled:
                yield "window-spill", some(spilled, _NAMED)
        if count > self.max_tokens:
            yield "tokens-over-limit", f"{count} tokens, {self.max_tokens} are read; cut: {some(cut, _NAMED)}"
        elif count > self.warn_tokens:
            yield "tokens-near-limit", f"{count} of {self.max_tokens} tokens"

    def _tags_at_borders(self, tokenizer: Tokenizer, text: str, tags: _Tags) -> tuple[list[str], list[str]]:
        """Tags that a window's border cuts in two, and tags that are not, or not wholly, read."""
        straddling: dict[tuple[int, int], None] = {}
        cut: list[tuple[int, int]] = []
        lines = line_spans(text)
        for number, group in groupby(tags, key=itemgetter(2)):
            begin, end = lines[number]
            tokens = [
                (first + begin, last + begin) for first, last in tokenizer.encode(text[begin:end]).spans
            ]
            places = [(start, end) for start, end, _ in group]
            ends = [end for _, end in places]
            read = len(places)
            if len(tokens) > self.max_tokens:  # from the tag on that ends behind the last token that is read
                read = bisect_right(ends, tokens[self.max_tokens][0])
                starts = [first for first, _ in tokens]
                cut += [place for place in places[read:] if _has_token(tokens, starts, place)]
            for border in range(WINDOW, min(len(tokens), self.max_tokens), WINDOW):
                at = bisect_right(ends, tokens[border][0])
                if at < read and places[at][0] < tokens[border - 1][1]:
                    straddling[places[at]] = None
        return [text[start:end] for start, end in straddling], [text[start:end] for start, end in cut]


def _has_token(tokens: Sequence[tuple[int, int]], starts: Sequence[int], place: tuple[int, int]) -> bool:
    """Whether any token lies in a tag: one of characters that the trainer drops has none."""
    last = bisect_left(starts, place[1]) - 1
    return last >= 0 and tokens[last][1] > place[0]


def _parsed(table: pa.Table) -> Iterator[_Tags | None]:
    """Each caption's tags where the batch has them of the very text that is counted; else None."""
    if "source" not in table.column_names:
        return repeat(None, table.num_rows)
    columns = zip(
        *(rows(table, name) for name in ("source", "rewritten", "starts", "ends", "lines")), strict=True
    )
    return (
        None if source is None or source != text else list(zip(starts, ends, lines, strict=True))
        for source, text, starts, ends, lines in columns
    )


def _tags(text: str) -> _Tags:
    return [(tag.start, tag.end, tag.line) for tag in parse(text).tags]


def _places(tokenizer: Tokenizer, text: str) -> Iterator[_Place]:
    """Each tag with its first and last token, from 0 on its own line; a tag without any is left out."""
    lines = line_spans(text)
    for number, tags in groupby(parse(text).tags, key=attrgetter("line")):
        begin, end = lines[number]
        spans = tokenizer.encode(text[begin:end]).spans
        starts, ends = [first for first, _ in spans], [last for _, last in spans]
        for tag in tags:
            first = bisect_right(ends, tag.start - begin)
            last = bisect_left(starts, tag.end - begin) - 1
            if first <= last:
                yield text[tag.start : tag.end], first, last


def _spilled(before: Sequence[_Place], after: Sequence[_Place]) -> list[str]:
    """Tags that the first window held whole in the original and holds so no more; copies in their order.

    A tag that the border cuts is not seen whole, so it counts as spilled, and as not seen before.
    """
    whole = _whole(before)
    return [
        tag for key, (tag, inside) in _whole(after).items() if not inside and whole.get(key, ("", False))[1]
    ]


def _whole(places: Sequence[_Place]) -> dict[tuple[str, int], tuple[str, bool]]:
    """For the k-th copy of each tag: its text, and whether all of its tokens are in the first window."""
    counts: Counter[str] = Counter()
    found = {}
    for tag, _, last in places:
        key = tag_key(tag)
        counts[key] += 1
        found[key, counts[key]] = tag, last < WINDOW
    return found
