"""Classify: the category of every tag; open it where a tag counts as unknown that is not, or the reverse.

A group goes where its first known tag goes. The ontology itself is in ontology/.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from tagflow.captions.grammar import FIXED, holds
from tagflow.ontology import Classification, Ontology
from tagflow.schema import add, add_findings, rows


@dataclass(slots=True)
class Classify:
    """`tags` -> `categories`. Each distinct tag is looked at once.

    A tag that nothing knows is in the fallback category and a finding, but for the `triggers`: it is their
    nature to be unknown.
    """

    ontology: Ontology
    triggers: Collection[str] = ()
    _seen: dict[str, Classification] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.triggers = tuple(self.triggers)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Add the `categories` column."""
        tags = rows(table, "tags")
        table = add(
            table,
            categories=[None if one is None else [self.verdict(tag).category for tag in one] for one in tags],
        )
        return add_findings(table, list(map(self._unknown, tags, rows(table, "segments"))))

    def verdict(self, tag: str) -> Classification:
        """What the ontology says of one tag as it stands in a caption."""
        found = self._seen.get(tag)
        if found is None:
            found = self._seen[tag] = self.ontology.classify_group(tag)
        return found

    def _unknown(self, tags: Sequence[str] | None, segments: Sequence[int] | None) -> list[tuple[str, str]]:
        unknown = [
            tag
            for tag, segment in zip(tags or (), segments or (), strict=True)
            if segment != FIXED
            and not self.verdict(tag).known
            and not any(holds(tag, word) for word in self.triggers)
        ]
        return [("tag-unknown", ", ".join(dict.fromkeys(unknown)))] if unknown else []
