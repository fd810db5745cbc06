"""Parse: every caption's tags, where they stand, and what may not be crossed."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from tagflow.caption import Caption
from tagflow.caption import parse as parse_caption
from tagflow.clean import clean as clean_text
from tagflow.schema import add, add_findings, rows


@dataclass(frozen=True, slots=True)
class Parse:
    """`text` -> `source, tags, starts, ends, segments, lines`. With `clean` the source is the tidied text."""

    clean: bool = False

    def __call__(self, table: pa.Table) -> pa.Table:
        """Findings are those of the text as it stands in the file, tidied or not."""
        texts = rows(table, "text")
        seen = [None if text is None else parse_caption(text) for text in texts]
        parsed = [self._tidied(caption) for caption in seen]
        table = add(
            table,
            source=[None if caption is None else caption.text for caption in parsed],
            tags=[None if caption is None else caption.texts() for caption in parsed],
            starts=[None if caption is None else [tag.start for tag in caption.tags] for caption in parsed],
            ends=[None if caption is None else [tag.end for tag in caption.tags] for caption in parsed],
            segments=[
                None if caption is None else [tag.segment for tag in caption.tags] for caption in parsed
            ],
            lines=[None if caption is None else [tag.line for tag in caption.tags] for caption in parsed],
        )
        return add_findings(
            table,
            [[] if one is None else [(found.code, found.detail) for found in one.findings] for one in seen],
        )

    def _tidied(self, caption: Caption | None) -> Caption | None:
        if caption is None or not self.clean:
            return caption
        tidied = clean_text(caption.text)
        return caption if tidied == caption.text else parse_caption(tidied)
