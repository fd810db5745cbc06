"""How much of a folder's captions an ontology knows: tags and occurrences by category, and unknown ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

import pyarrow as pa

from tagflow.captions.grammar import FIXED, tag_key
from tagflow.ontology import Ontology
from tagflow.schema import rows


@dataclass(slots=True)
class Coverage:
    """Counts over the captions of a folder; a tag is one tag however it is written (case, underscores).

    tags, occurrences: by category, the fallback's known tags included and unknown tags left out.
    unknown: occurrences of each tag that the ontology does not know, as it was first written.
    triggers: occurrences of the folder's triggers, which are left out of all the others.
    untagged: captions without a tag that could move (prose, or nothing at all); unread: no UTF-8 text.
    """

    captions: int = 0
    untagged: int = 0
    unread: int = 0
    tags: Counter[str] = field(default_factory=Counter)
    occurrences: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    triggers: Counter[str] = field(default_factory=Counter)


def coverage(table: pa.Table, ontology: Ontology, triggers: Collection[str] = ()) -> Coverage:
    """Count the tags of a parsed batch (`tags`, `segments`); what stays in its place is no tag here."""
    found = Coverage(captions=table.num_rows)
    times: Counter[str] = Counter()
    spellings: dict[str, str] = {}
    for tags, segments in zip(rows(table, "tags"), rows(table, "segments"), strict=True):
        if tags is None:
            found.unread += 1
            continue
        movable = [tag for tag, segment in zip(tags, segments, strict=True) if segment != FIXED]
        found.untagged += not movable
        for tag in movable:
            key = tag_key(tag)
            spellings.setdefault(key, tag)
            times[key] += 1
    for trigger in sorted(set(map(tag_key, triggers)) & times.keys()):
        found.triggers[spellings[trigger]] = times.pop(trigger)
    for key, count in times.items():
        verdict = ontology.classify_group(spellings[key])
        if verdict.known:
            found.tags[verdict.category] += 1
            found.occurrences[verdict.category] += count
        else:
            found.unknown[spellings[key]] = count
    return found
