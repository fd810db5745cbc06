"""Parse: every caption's tags, where they stand, and what may not be crossed."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter

import pyarrow as pa

from tagflow.captions.clean import tidied
from tagflow.captions.grammar import Caption
from tagflow.captions.grammar import parse as parse_caption
from tagflow.schema import add, add_findings, rows

_NUMBERS = {"starts": 0, "ends": 1, "lines": 2, "segments": 3}  # columns, and their place in a Tag


@dataclass(frozen=True, slots=True)
class Parse:
    """`text` -> `source, tags, starts, ends, segments, lines`. With `clean` the source is the tidied text."""

    clean: bool = False

    def __call__(self, table: pa.Table) -> pa.Table:
        """Findings are those of the text as it stands in the file, tidied or not."""
        texts = rows(table, "text")
        seen = [None if text is None else parse_caption(text) for text in texts]
        parsed = [tidied(one) if one is not None and self.clean else one for one in seen]
        table = add(
            table,
            source=[None if caption is None else caption.text for caption in parsed],
            tags=[None if caption is None else caption.texts() for caption in parsed],
            **{name: [_of_each(caption, at) for caption in parsed] for name, at in _NUMBERS.items()},
        )
        return add_findings(
            table,
            [[] if one is None else [(found.code, found.detail) for found in one.findings] for one in seen],
        )


def _of_each(caption: Caption | None, at: int) -> list[int] | None:
    return None if caption is None else list(map(itemgetter(at), caption.tags))
