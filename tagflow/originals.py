"""What a caption is measured against: the text last certified or, before any certification, first seen.

The folder's audit knows it for nearly every caption. What it does not know (a caption that was away for a
while, a subfolder that was reordered by itself, an audit that was removed) the records of earlier runs may:
a text that tagflow itself once wrote must not pass for one that was first seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tagflow.audit import Audit, Meta, read_audit
from tagflow.sources.folder import STATE_FOLDER, Survey
from tagflow.sources.record import Record, standing_runs
from tagflow.sources.store import Store

_Written = dict[tuple[Path, str], tuple[Store, Record, str]]


@dataclass
class Earlier:
    """The earlier runs in a folder, in those above it and in those below it. Read only when asked.

    `certifies` says whether a run's word counts as certification here.
    """

    found: Survey
    certifies: Callable[[Meta], bool]
    _audits: dict[Path, Audit | None] = field(default_factory=dict)

    def original(self, path: str, sha256: str) -> str | None:
        """The original of the text with this digest; None where no run has written it, or one certified it.

        Raises AuditError where the record of the run, or its audit, is damaged.
        """
        if not self._written:
            return None
        hit = self._written.get(((self.found.root / path).absolute(), sha256))
        if hit is None:
            return None
        store, record, known_as = hit
        audit = self._audit(store.audit_of(record))
        if audit is None or self.certifies(audit.meta):
            return None
        original: str | None = audit.by_path().get(known_as, {}).get("original")
        return original

    def _audit(self, file: Path) -> Audit | None:
        if file not in self._audits:
            self._audits[file] = read_audit(file)
        return self._audits[file]

    @cached_property
    def _written(self) -> _Written:
        """Each file that a run has written, with the digest of what it wrote; the newest run wins."""
        written: _Written = {}
        for store in self._stores():
            for record in standing_runs(store.runs()):
                for change in record.changes:
                    key = ((store.root / change.path).absolute(), change.after)
                    if key not in written or written[key][1].run < record.run:
                        written[key] = (store, record, change.path)
        return written

    def _stores(self) -> Iterator[Store]:
        root = self.found.root.absolute()
        for folder in (*reversed(root.parents), root, *(root / below for below in self.found.stores)):
            if (folder / STATE_FOLDER).is_dir():
                yield Store(folder)
