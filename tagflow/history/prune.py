"""Prune: originals given up on request, never an audit or a record.

Audits say which texts tagflow wrote itself (originals.py follows a text back through them); without one of
them such a text would pass for the user's own. So only the bytes under `objects/` go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tagflow.history.record import CUT_OFF, Record
from tagflow.history.store import Store

_NAME = re.compile("[0-9a-f]{62}")


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune does: the runs that it gives up (they stand and cannot be undone then) and the files.

    `size`: bytes of the files.
    """

    runs: tuple[Record, ...]
    files: tuple[Path, ...]
    size: int


def plan(store: Store, *, keep: int | None = None, before: datetime | None = None) -> PrunePlan:
    """What could go. Without limits: what no run that stands needs, edits put aside by force not among it.

    keep: all but the newest `keep` runs that can be undone are given up; before: those from before then.
    Raises AuditError for a damaged record: without it, nobody knows what is needed.
    """
    records = store.runs()
    old = _old(records, keep, before)
    needed = set[str]()
    for record in records[len(old) :]:
        if not record.pruned:
            needed |= _needed(record)
    for record in old:
        if record.state in CUT_OFF:  # its files are not put back yet
            needed |= record.digests()
    files = tuple(file for file in _objects(store.folder / "objects") if _digest(file) not in needed)
    given_up = tuple(record for record in old if not record.pruned and record.state not in CUT_OFF)
    return PrunePlan(given_up, files, sum(file.stat().st_size for file in files))


def _old(records: Sequence[Record], keep: int | None, before: datetime | None) -> Sequence[Record]:
    """The oldest runs, up to the newest that may go: an older run is of no use to undo without it."""
    undoable = [at for at, record in enumerate(records) if record.stands and record.to_undo()]
    if keep is not None:
        end = len(records) if not keep else undoable[-keep] if len(undoable) > keep else 0
        return records[:end]
    if before is not None:
        times = (record.time for record in records)
        young = (at for at, time in enumerate(times) if time is None or time >= before)
        return records[: next(young, len(records))]
    return ()


def _needed(record: Record) -> set[str]:
    """The originals that undoing a run needs, and the edits that a forced undo of it put aside."""
    if record.stands or record.state in CUT_OFF:
        return record.digests()
    return {edit.sha256 for edit in record.aside}


def _objects(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.glob("??/*")):
        linked = file.parent.is_symlink()  # another dataset's originals may lie there
        if _NAME.fullmatch(file.name) and file.is_file() and not linked:
            yield file


def _digest(file: Path) -> str:
    return file.parent.name + file.name


def prune(store: Store, chosen: PrunePlan) -> None:
    """Give up what was planned: first the records say so, then the files go. Call it under the store's lock.

    Raises SourceError where a record cannot be written; no file is gone then. OSError where a file stays.
    """
    for record in chosen.runs:
        record.pruned = True
        store.save(record)
    for file in chosen.files:
        file.unlink(missing_ok=True)
        with suppress(OSError):
            file.parent.rmdir()


def kept_size(store: Store, record: Record) -> int:
    """Bytes that are kept of a run: its originals, which other runs may share, its audit and its record."""
    files = [store.object(digest) for digest in record.digests()]
    files += [store.audit_of(record), store.audit_of(record).with_name("record.json")]
    return sum(file.stat().st_size for file in files if file.is_file())
