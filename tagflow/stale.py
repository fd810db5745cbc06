"""What a rewrite does to the trainer's caches: which hold an old text now, as findings and by name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tagflow.pipeline import with_notes
from tagflow.schema import rows
from tagflow.sources.caches import stale_caches


@dataclass(frozen=True, slots=True)
class Stale:
    """Stale caches by the caption's path, relative to the folder."""

    by_caption: dict[str, list[str]]

    def names(self) -> tuple[str, ...]:
        """Each cache once."""
        return tuple(sorted({cache for caches in self.by_caption.values() for cache in caches}))

    def noted(self, table: pa.Table) -> pa.Table:
        """The batch with a finding for every stale cache."""
        notes = {
            path: [("cache-stale", cache) for cache in caches] for path, caches in self.by_caption.items()
        }
        return with_notes(table, notes)


def stale(root: Path, table: pa.Table, written: Collection[str] = ()) -> Stale:
    """The caches of a batch that hold an old text. `written`: captions that have just got a new one."""
    found = {path: stale_caches(root, path, written) for path in rows(table, "path")}
    return Stale({path: caches for path, caches in found.items() if caches})
