"""Undo: runs taken back, newest first, over several runs on top of each other."""

from __future__ import annotations

from collections.abc import Sequence

from tagflow.sources.folder import AUDIT_NAME, digest_of
from tagflow.sources.record import Aside, Change, Record, standing_runs
from tagflow.sources.store import Store


def undo_runs(store: Store, records: Sequence[Record], *, force: bool) -> tuple[list[str], list[str]]:
    """Undo runs, newest first; gives the paths that came back and those that were left alone.

    A file that a newer run could not give back is not touched for an older one. A run of which files were
    left alone still stands for them, so that it can be undone again with `force`. The audit of the newest
    run that still stands takes its place again. Call it under the store's lock. What a kill cuts off is
    finished by the next command (without force); after an error it stands as far as it came.
    """
    restored, left = set[str](), set[str]()
    for record in records:
        record.state = "undoing"
        store.save(record)
    try:
        for at, record in enumerate(records):
            further = _further(records[at + 1 :])
            for change in record.to_undo():
                if change.path not in left and (
                    _is_back(store, change, further) or _give_back(store, record, change, force=force)
                ):
                    record.undone.append(change.path)
                    restored.add(change.path)
                else:
                    left.add(change.path)
    finally:
        _finish(store, records)
    return sorted(restored - left), sorted(left)


def _further(older: Sequence[Record]) -> set[tuple[str, str]]:
    """What older runs that are undone, too, will bring back, by path and digest."""
    return {(change.path, change.before) for record in older for change in record.to_undo()}


def _is_back(store: Store, change: Change, further: set[tuple[str, str]]) -> bool:
    """Whether a file is where an older run's undo takes it: this undo was cut off, and is done again."""
    return (change.path, digest_of(store.place(change.path))) in further


def _give_back(store: Store, record: Record, change: Change, *, force: bool) -> bool:
    """Bring one file back. An edit that is replaced by force is kept, and the record says so, before."""
    edited = None
    if force:
        edited = digest_of(file := store.place(change.path))
        if edited not in ("", change.before, change.after):
            edited = store.keep_file(file)
            record.aside.append(Aside(change.path, edited))
            store.save(record)
    return store.put_back(change, edited=edited)


def _finish(store: Store, records: Sequence[Record]) -> None:
    """The audit of what stands now, then the records: a kill between them is an undo to be finished."""
    for record in records:
        record.state = "done" if record.to_undo() else "undone"
    ours = {record.run: record for record in records}
    standing = standing_runs([ours.get(one.run, one) for one in store.runs()])
    if standing:
        store.show_audit(standing[0])
    else:
        (store.root / AUDIT_NAME).unlink(missing_ok=True)
    for record in records:
        store.save(record)
