"""Undo: runs taken back, newest first, over several runs on top of each other."""

from __future__ import annotations

from collections.abc import Sequence

from tagflow.sources.folder import AUDIT_NAME
from tagflow.sources.record import Record, standing_runs
from tagflow.sources.store import Store


def undo_runs(store: Store, records: Sequence[Record], *, force: bool) -> tuple[list[str], list[str]]:
    """Undo runs, newest first; gives the paths that came back and those that were left alone.

    A file that a newer run could not give back is not touched for an older one. A run of which files were
    left alone still stands for them, so that it can be undone again with `force`. The audit of the newest
    run that still stands takes its place again. Call it under the store's lock.
    """
    restored, left = set[str](), set[str]()
    for record in records:
        for change in record.to_undo():
            if change.path not in left and store.put_back(change, force=force):
                record.undone.append(change.path)
                restored.add(change.path)
            else:
                left.add(change.path)
        record.state = "done" if record.to_undo() else "undone"
        store.save(record)
    standing = standing_runs(store.runs())
    if standing:
        store.publish(standing[0])
    else:
        (store.root / AUDIT_NAME).unlink(missing_ok=True)
    return sorted(restored - left), sorted(left)
