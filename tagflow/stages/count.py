"""Count: tokens and windows as sd-scripts makes them; open it for a count or a finding on a long caption.

Each line counts by itself, stripped, as the trainer reads it; a caption's figures are those of its longest.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from tagflow.captions.grammar import stripped_lines, tag_key, tags_by_line
from tagflow.clip.tokenizer import WINDOW, Tokenizer
from tagflow.findings.wording import LONG, short, some
from tagflow.schema import add, add_findings, rows

Span = tuple[int, int]
_Line = tuple[
    str, Sequence[Span], Sequence[Span]
]  # its text without the spaces around it, its tags, its tokens

_APART = 8  # tokens that two orders of a caption may differ by, at the most
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
        columns = [
            rows(table, name)
            for name in ("original", "original_starts", "original_ends", "rewritten", "starts", "ends")
        ]
        looked_at = min(WINDOW, self.max_tokens - _APART)
        found = [
            []
            if text is None or (count or 0) <= looked_at
            else list(self._findings(self.tokenizer, count or 0, *row))
            for text, count, row in zip(texts, tokens, zip(*columns, strict=True), strict=True)
        ]
        return add_findings(table, found)

    def _longest(self, tokenizer: Tokenizer, texts: Sequence[str | None]) -> list[int | None]:
        lines = [stripped_lines(text) for text in texts if text is not None]
        counts = iter(tokenizer.count_many([line for group in lines for line in group]))
        longest = iter([max(next(counts) for _ in group) for group in lines])
        return [None if text is None else next(longest) for text in texts]

    def _findings(
        self,
        tokenizer: Tokenizer,
        count: int,
        original: str | None,
        original_starts: Sequence[int],
        original_ends: Sequence[int],
        text: str,
        starts: Sequence[int],
        ends: Sequence[int],
    ) -> Iterator[tuple[str, str]]:
        lines = _tokenized(tokenizer, text, starts, ends)
        straddling, cut = self._tags_at_borders(lines)
        if count > WINDOW:
            yield "window-exceeded", f"{count} tokens"
        if straddling:
            yield "window-straddled", some(straddling, _NAMED)
        if original is not None and original != text:
            before = _tokenized(tokenizer, original, original_starts, original_ends)
            spilled = [short(tag) for tag in _spilled(before, lines)]
            if spilled and count > WINDOW:
                yield "window-spill", some(spilled, _NAMED)
            if cut_now := list(self._cut_otherwise(before, lines)):
                yield "tokens-cut-changed", "; ".join(cut_now)
        if count > self.max_tokens:
            yield "tokens-over-limit", f"{count} tokens, {self.max_tokens} are read; cut: {some(cut, _NAMED)}"
        elif count > self.warn_tokens:
            yield "tokens-near-limit", f"{count} of {self.max_tokens} tokens"

    def _cut_otherwise(self, before: Sequence[_Line], after: Sequence[_Line]) -> Iterator[str]:
        """Which tags the limit lets the trainer read in one order alone, in words."""
        if all(len(tokens) <= self.max_tokens for _, _, tokens in (*before, *after)):
            return
        then, now = self._read(before), self._read(after)
        for said, one, other in (("no longer read", then, now), ("read now", now, then)):
            tags = [short(tag) for key, tag in one.items() if key not in other]
            if tags:
                yield f"{said}: {some(tags, _NAMED)}"

    def _read(self, lines: Sequence[_Line]) -> dict[str, str]:
        """The tags that the trainer reads wholly, by what spellings of one have in common."""
        read: dict[str, str] = {}
        for line, places, tokens in lines:
            end = len(line) if len(tokens) <= self.max_tokens else tokens[self.max_tokens][0]
            read |= {tag_key(line[start:stop]): line[start:stop] for start, stop in places if stop <= end}
        return read

    def _tags_at_borders(self, lines: Sequence[_Line]) -> tuple[list[str], list[str]]:
        """Tags that a window's border cuts in two, and tags that are not, or not wholly, read."""
        straddling: list[str] = []
        cut: list[str] = []
        for line, places, tokens in lines:
            ends = [end for _, end in places]
            read = len(places)
            if len(tokens) > self.max_tokens:  # from the tag on that ends behind the last token that is read
                read = bisect_right(ends, tokens[self.max_tokens][0])
                starts = [first for first, _ in tokens]
                unread = tokens[self.max_tokens][0]
                for start, end in places[read:]:
                    if _has_token(tokens, starts, (start, end)):
                        # Of a sentence it matters where the trainer stops reading.
                        inside = end - start > LONG and start < unread
                        cut.append(f"…{short(line[unread:end])}" if inside else short(line[start:end]))
            cross = dict[int, None]()  # a tag that two borders cut is one
            for border in range(WINDOW, min(len(tokens), self.max_tokens), WINDOW):
                at = bisect_right(ends, tokens[border][0])
                if at < read and places[at][0] < tokens[border - 1][1]:
                    cross[at] = None
            straddling += [short(line[slice(*places[at])]) for at in cross]
        return straddling, cut


def _tokenized(tokenizer: Tokenizer, text: str, starts: Sequence[int], ends: Sequence[int]) -> list[_Line]:
    lines = tags_by_line(text, starts, ends)
    return [(line, places, tokenizer.encode(line).spans) for line, places in lines if places]


def _has_token(tokens: Sequence[Span], starts: Sequence[int], place: Span) -> bool:
    """Whether any token lies in a tag: one of characters that the trainer drops has none."""
    last = bisect_left(starts, place[1]) - 1
    return last >= 0 and tokens[last][1] > place[0]


def _spilled(before: Sequence[_Line], after: Sequence[_Line]) -> list[str]:
    """Tags that the first window held whole in the original and holds so no more; copies in their order.

    A tag that the border cuts is not seen whole, so it counts as spilled, and as not seen before.
    """
    whole = _whole(before)
    return [
        tag for key, (tag, inside) in _whole(after).items() if not inside and whole.get(key, ("", False))[1]
    ]


def _whole(lines: Sequence[_Line]) -> dict[tuple[str, int], tuple[str, bool]]:
    """For the k-th copy of each tag: its text, and whether all of its tokens are in the first window.

    A tag without any token, of characters that the trainer drops, is left out.
    """
    counts: Counter[str] = Counter()
    found = {}
    for line, places, tokens in lines:
        starts, ends = [first for first, _ in tokens], [last for _, last in tokens]
        for start, end in places:
            first, last = bisect_right(ends, start), bisect_left(starts, end) - 1
            if first <= last:
                tag = line[start:end]
                key = tag_key(tag)
                counts[key] += 1
                found[key, counts[key]] = tag, last < WINDOW
    return found
