"""Parse: every caption and its original, read once; open it to hand later stages more of what was read."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tagflow.captions.clean import tidied
from tagflow.captions.grammar import Caption, parse
from tagflow.schema import add, add_findings, rows


def parse_captions(table: pa.Table, *, clean: bool = False, separator: str | None = None) -> pa.Table:
    """`text, original` -> `source, tags, starts, ends, segments, lines`, spans of the original's tags.

    With `clean` the source is the tidied text, but for captions that are not selected. Findings are those of
    the text as it stands in the file, tidied or not. An original that is not the text is parsed as well.
    `separator`: the keep_tokens_separator that was named.
    """
    read = [None if text is None else parse(text, separator=separator) for text in rows(table, "text")]
    sources: Sequence[Caption | None] = read
    if clean:
        chosen = zip(read, rows(table, "selected"), strict=True)
        sources = [one and (tidied(one, separator) if selected else one) for one, selected in chosen]
    originals: list[Caption | None] = []
    for caption, text in zip(read, rows(table, "original"), strict=True):
        if caption is None or text is None:
            originals.append(None)
        else:
            originals.append(caption if caption.text == text else parse(text, separator=separator))
    table = add(
        table,
        source=[caption and caption.text for caption in sources],
        tags=[caption and caption.texts() for caption in sources],
        starts=[caption and [tag.start for tag in caption.tags] for caption in sources],
        ends=[caption and [tag.end for tag in caption.tags] for caption in sources],
        segments=[caption and [tag.segment for tag in caption.tags] for caption in sources],
        lines=[caption and [tag.line for tag in caption.tags] for caption in sources],
        original_told=[caption and [tag.kind != "tag" for tag in caption.tags] for caption in originals],
        original_starts=[caption and [tag.start for tag in caption.tags] for caption in originals],
        original_ends=[caption and [tag.end for tag in caption.tags] for caption in originals],
    )
    return add_findings(
        table,
        [[(found.code, found.detail) for found in caption.findings] if caption else [] for caption in read],
    )
