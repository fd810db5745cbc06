"""Prove: no tag of the original is missing from the rewritten caption, and none was added."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from tagflow.captions.grammar import parse, tag_key
from tagflow.schema import add_findings, rows


def prove(table: pa.Table, *, tidied: bool) -> pa.Table:
    """Add `tag-lost` and `tag-added` where the tags of `original` and `rewritten` are not the same.

    `tidied`: `--clean` was given, so copies of a tag may have gone; its last copy may not.
    """
    texts = zip(rows(table, "original"), rows(table, "rewritten"), strict=True)
    return add_findings(
        table,
        [
            [] if one is None or two is None or one == two else _difference(one, two, tidied=tidied)
            for one, two in texts
        ],
    )


def _difference(original: str, rewritten: str, *, tidied: bool) -> list[tuple[str, str]]:
    before, after = _tags(original, tidied=tidied), _tags(rewritten, tidied=tidied)
    lost, added = before - after, after - before
    return [("tag-lost", tag) for tag in lost] + [("tag-added", tag) for tag in added]


def _tags(text: str, *, tidied: bool) -> Counter[str]:
    texts = parse(text, fullwidth_commas=tidied).texts()
    return Counter({tag_key(tag) for tag in texts}) if tidied else Counter(texts)
