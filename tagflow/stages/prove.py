"""Prove: no tag of the original is missing from the rewritten caption, and none was added."""

from __future__ import annotations

import re
from collections import Counter

import pyarrow as pa

from tagflow.caption import parse, same_tag
from tagflow.schema import add_findings, rows

_COMMA = ", "
_COMMAS = re.compile(r"\s*[,，][\s,，]*")


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
    before, after = Counter(parse(original).texts()), Counter(parse(rewritten).texts())
    if before == after:  # also where prose keeps a full-width comma, which parts tags elsewhere
        return []
    if tidied:
        return _tidied_difference(original, rewritten)
    return [("tag-lost", tag) for tag in before - after] + [("tag-added", tag) for tag in after - before]


def _tidied_difference(original: str, rewritten: str) -> list[tuple[str, str]]:
    """What no copy is left of, and what there was no copy of.

    Where copies went, the tags left beside a sentence may be too few to be a list and are read as part of it;
    so a tag is there if it stands between two commas of what was rewritten, and a sentence if it does whole.
    """
    before, after = (
        list(map(_plain, parse(text, wide_commas=True).texts())) for text in (original, rewritten)
    )
    known, left = ({part for tag in tags for part in tag.split(_COMMA)} for tags in (before, after))
    whole = f", {_COMMA.join(after)}, "
    lost = [tag for tag in dict.fromkeys(before) if tag not in left and f", {tag}, " not in whole]
    added = [tag for tag in dict.fromkeys(after) if not known.issuperset(tag.split(_COMMA))]
    return [("tag-lost", tag) for tag in lost] + [("tag-added", tag) for tag in added]


def _plain(tag: str) -> str:
    return _COMMAS.sub(_COMMA, same_tag(tag))
