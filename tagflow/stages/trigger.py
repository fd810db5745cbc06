"""The folder's own trigger word; open it where one is not found, or where a common tag is taken for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from tagflow.captions.grammar import FIXED, tag_key
from tagflow.schema import rows

if TYPE_CHECKING:  # a check asks for the candidate alone, and mostly needs no ontology
    from tagflow.ontology import Ontology

LEAST_CAPTIONS = 10
LEAST_PERCENT = 80


def detect_trigger(table: pa.Table, ontology: Ontology) -> str | None:
    """The tag taken for the trigger, as it is most often written; None where there is none.

    It is the candidate, if it is unknown to the ontology, wholly or in a word.
    """
    spelling = candidate(table)
    return spelling if spelling is not None and _is_strange(ontology, spelling) else None


def candidate(table: pa.Table) -> str | None:
    """The tag that stands first in at least 80 % of at least 10 captions, as it is most often written.

    Prose has no tags to stand first, and is not counted.
    """
    firsts = [tag for tag in map(_first, rows(table, "tags"), rows(table, "segments")) if tag is not None]
    if len(firsts) < LEAST_CAPTIONS:
        return None
    key, count = Counter(map(tag_key, firsts)).most_common(1)[0]
    spelling = next(tag for tag in firsts if tag_key(tag) == key)
    return None if 100 * count < LEAST_PERCENT * len(firsts) else spelling


def _is_strange(ontology: Ontology, tag: str) -> bool:
    """Whether a tag or a word of it is unknown: `zkv house` is in a category by its house, and a trigger."""
    return not ontology.classify_group(tag).known or ontology.has_strange_word(tag)


def _first(tags: Sequence[str] | None, segments: Sequence[int] | None) -> str | None:
    if not tags or not segments or all(segment == FIXED for segment in segments):
        return None
    return tags[0]
