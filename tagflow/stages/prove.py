"""Prove: no tag was lost and none was added on the way; open it for a `tag-lost` that is none.

Both texts were parsed once, the rewritten one after it was written; here their tags are cut out of the texts
by those spans, and whatever lies between the spans must be a separator. So no list of tags is believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from tagflow.captions.grammar import gaps_between, parse, tag_key
from tagflow.schema import add_findings, rows


def prove(table: pa.Table, *, tidied: bool) -> pa.Table:
    """Add `tag-lost` and `tag-added` where the tags of `original` and `rewritten` are not the same.

    `tidied`: `--clean` was given, so copies of a tag may have gone; its last copy may not.
    """
    names = ("original", "original_starts", "original_ends", "rewritten", "starts", "ends")
    columns = zip(*(rows(table, name) for name in names), strict=True)
    return add_findings(
        table,
        [
            []
            if row[0] is None or row[3] is None or row[0] == row[3]
            else _difference(_tags(*row[:3], tidied=tidied), _tags(*row[3:], tidied=tidied))
            for row in columns
        ],
    )


def _difference(before: Counter[str], after: Counter[str]) -> list[tuple[str, str]]:
    lost, added = before - after, after - before
    return [("tag-lost", tag) for tag in lost] + [("tag-added", tag) for tag in added]


def _tags(text: str, starts: Sequence[int], ends: Sequence[int], *, tidied: bool) -> Counter[str]:
    """The tags of a text; where `--clean` was given, also as full-width commas part them, by their keys."""
    if tidied and "，" in text:
        texts = parse(text, fullwidth_commas=True).texts()
    else:
        texts = [text[start:end] for start, end in zip(starts, ends, strict=True)]
        texts += _between(text, starts, ends)
    return Counter(dict.fromkeys(map(tag_key, texts), 1)) if tidied else Counter(texts)


def _between(text: str, starts: Sequence[int], ends: Sequence[int]) -> list[str]:
    """What is no separator between the tags, which counts as a tag: spans that miss a word cannot hide it.

    Where nothing parts two tags of a line, the trainer reads both as one, and so does this.
    """
    found = []
    for at, gap in enumerate(gaps_between(text, starts, ends)):
        if gap == ", ":
            continue
        marks = gap.replace("|||", ",").replace("BREAK", ",")
        inner = 0 < at < len(starts)
        if marks.lstrip("\ufeff").replace(",", "").strip() or (inner and not set(marks) & set(",\r\n")):
            found.append(text[starts[at - 1] if at else 0 : ends[at] if at < len(ends) else len(text)])
    return found
