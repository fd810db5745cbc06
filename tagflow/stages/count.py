"""Count: tokens and windows of every caption, exactly as sd-scripts makes them.

Each line counts by itself, stripped, as the trainer reads it; a caption's figures are those of its longest.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import pyarrow as pa

from tagflow.caption import line_spans, parse, stripped_lines
from tagflow.schema import add, add_findings, rows
from tagflow.tokenizer import WINDOW, Tokenizer

_NAMED = 6  # so many tags are named in a finding; more would not be read


@dataclass(frozen=True, slots=True)
class Count:
    """`rewritten` -> `tokens, windows`. Without a tokenizer both are null, and each caption says so."""

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
            else list(self._findings(self.tokenizer, text, count or 0))
            for text, count in zip(texts, tokens, strict=True)
        ]
        return add_findings(table, found)

    def _longest(self, tokenizer: Tokenizer, texts: Sequence[str | None]) -> list[int | None]:
        lines = [stripped_lines(text) for text in texts if text is not None]
        counts = iter(tokenizer.count_many([line for group in lines for line in group]))
        longest = iter([max(next(counts) for _ in group) for group in lines])
        return [None if text is None else next(longest) for text in texts]

    def _findings(self, tokenizer: Tokenizer, text: str, count: int) -> Iterator[tuple[str, str]]:
        yield "window-exceeded", f"{count} tokens"
        straddling, cut = self._tags_at_borders(tokenizer, text)
        if straddling:
            yield "window-straddled", _names(straddling)
        if count > self.max_tokens:
            yield "tokens-over-limit", f"{count} tokens, {self.max_tokens} are read; cut: {_names(cut)}"
        elif count > self.warn_tokens:
            yield "tokens-near-limit", f"{count} of {self.max_tokens} tokens"

    def _tags_at_borders(self, tokenizer: Tokenizer, text: str) -> tuple[list[str], list[str]]:
        """Tags that a window's border cuts in two, and tags that are not, or not wholly, read."""
        straddling: list[str] = []
        cut: list[str] = []
        lines = line_spans(text)
        for number, tags in groupby(parse(text).tags, key=attrgetter("line")):
            begin, end = lines[number]
            spans = tokenizer.encode(text[begin:end]).spans
            starts, ends = [first for first, _ in spans], [last for _, last in spans]
            for tag in tags:
                first = bisect_right(ends, tag.start - begin)
                last = bisect_left(starts, tag.end - begin) - 1
                if first <= last and last >= self.max_tokens:
                    cut.append(text[tag.start : tag.end])
                elif first <= last and first // WINDOW != last // WINDOW:
                    straddling.append(text[tag.start : tag.end])
        return straddling, cut


def _names(tags: Sequence[str]) -> str:
    more = f" and {len(tags) - _NAMED} more" if len(tags) > _NAMED else ""
    return ", ".join(tags[:_NAMED]) + more
