"""Classify: the category of every tag. A group goes where its first known tag goes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from tagflow.groups import verdict_of
from tagflow.ontology import Ontology
from tagflow.schema import add, rows


@dataclass(slots=True)
class Classify:
    """`tags` -> `categories`. Each distinct tag is looked at once."""

    ontology: Ontology
    _seen: dict[str, str] = field(default_factory=dict)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Add the `categories` column."""
        return add(
            table,
            categories=[
                None if tags is None else list(map(self.category, tags)) for tags in rows(table, "tags")
            ],
        )

    def category(self, tag: str) -> str:
        """The category of one tag as it stands in a caption."""
        found = self._seen.get(tag)
        if found is None:
            found = self._seen[tag] = verdict_of(self.ontology, tag).category
        return found
