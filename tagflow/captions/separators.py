"""Marks that look like a keep_tokens_separator; open it for one that is missed, or that is none.

Which mark is one only the trainer's option says. People write `|||` as a rule, else a sign several times.
"""

from __future__ import annotations

import re
from collections import Counter

from tagflow.captions.grammar import line_spans
from tagflow.captions.leftovers import no_caption

# Of `##`, `@@` and the like, which words may hold, only those that stand alone.
_MARK = re.compile(r"\|{3}|([#&@%])\1{2,}|(?<![^\s,])(?:##|&&|@@|%%|\|\|)(?![^\s,])")


def likely_separators(text: str) -> list[str]:
    """The distinct marks of a caption that stand between tags, once or twice on a line."""
    if _MARK.search(text) is None:  # nearly all
        return []
    marks = dict[str, None]()
    for begin, end in line_spans(text):
        line = text[begin:end]
        if no_caption(line) is not None:
            continue
        for mark, times in Counter(found.group() for found in _MARK.finditer(line)).items():
            before, _, after = line.partition(mark)
            if times <= 2 and before.strip(" ,") and after.strip(" ,"):
                marks[mark] = None
    return list(marks)
