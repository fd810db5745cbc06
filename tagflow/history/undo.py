"""Runs taken back, on request or after a kill; open it for what is on the disk at each moment of a rewrite.

`undo` goes from the newest run back. What an error cuts off is put right by the command itself, what a kill
cuts off by the next one that writes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from tagflow.dataset.survey import AUDIT_NAME
from tagflow.errors import SourceError, TagflowError
from tagflow.files.read import digest_of
from tagflow.history.late import Edit, settle
from tagflow.history.record import Aside, Change, Record, sorts, standing_runs, to_bytes
from tagflow.history.store import Store


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did, all sorted: the captions that came back, and those that were left alone.

    `edits`: those that came while their file was being replaced; the file is among `left`.
    """

    restored: tuple[str, ...]
    left: tuple[str, ...]
    edits: tuple[Edit, ...]


def undo_runs(store: Store, records: Sequence[Record], *, force: bool) -> Undone:
    """Undo runs, newest first.

    A file that a newer run could not give back is not touched for an older one. A run of which files were
    left alone still stands for them, so that it can be undone again with `force`. The audit of the newest
    run that still stands takes its place again; newer runs that are not undone, which changed nothing, are
    overtaken. Call it under the store's lock. What a kill cuts off is
    finished by the next command (without force); after an error it stands as far as it came.
    """
    restored, left, edits = set[str](), set[str](), list[Edit]()
    for record in records:
        record.state = "undoing"
        store.save(record)
    try:
        for at, record in enumerate(records):
            # What older runs that are undone, too, will bring back. A file that holds it is where their undo
            # takes it: this undo was cut off, and is done again.
            further = {(one.path, one.before) for older in records[at + 1 :] for one in older.to_undo()}
            for change in record.to_undo():
                if change.path not in left and (
                    (change.path, digest_of(store.place(change.path))) in further
                    or _give_back(store, record, change, force=force)
                ):
                    record.undone.append(change.path)
                    restored.add(change.path)
                else:
                    left.add(change.path)
        edits = settle(store, records, over=False)
        late = {edit.path for edit in edits}
        left |= late
        for record in records:
            record.undone = [path for path in record.undone if path not in late]
    finally:
        _finish(store, records)
    return Undone(tuple(sorted(restored - left)), tuple(sorted(left)), tuple(edits))


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
    standing = standing_runs([ours.get(record.run, record) for record in store.runs()])
    newest = records[0] if records else None
    overtaken = list(takewhile(lambda record: newest and sorts(record.run) > sorts(newest.run), standing))
    if not any(record.undone for record in records):
        overtaken = []
    for record in overtaken:
        record.overtaken = True
    if shown := next((record for record in standing if not record.overtaken), None):
        store.show_audit(shown)
    else:
        (store.root / AUDIT_NAME).unlink(missing_ok=True)
    for record in (*overtaken, *records):
        store.save(record)


_ROOM = 64 * 1024  # bytes: more than a caption on its way to its place needs


@dataclass(frozen=True, slots=True)
class Recovery:
    """A run or an undo that was cut off and is put right now; `left`: files edited since, left alone."""

    record: Record
    left: tuple[str, ...]


def recover(store: Store) -> list[Recovery]:
    """Finish what was cut off: put back half-written runs, go on with undos, publish audits of whole runs.

    Gives what was put back or undone. Call it under the lock. Raises AuditError where a record or an original
    is damaged, SourceError where a file cannot be written; what was done by then stays done.
    """
    store.sweep()
    records = store.runs()
    cut_off = [record for record in reversed(records) if record.state == "writing"]
    done = [Recovery(record, roll_back(store, record)) for record in cut_off]
    undoing = [record for record in reversed(records) if record.state == "undoing"]
    if undoing:
        left = undo_runs(store, undoing, force=False).left
        done += [Recovery(record, left) for record in undoing]
    for record in records:
        if record.state == "written":
            store.publish(record)
    return done


def published(store: Store, record: Record) -> Path:
    """Publish the audit of a run whose files are all in place. Raises SourceError that says so."""
    try:
        return store.publish(record)
    except (TagflowError, OSError) as error:
        raise SourceError(
            f"{error}; the captions are written, and their audit is kept in {store.audit_of(record)}",
            "mend the disk or make room; the next tagflow command that writes here goes on from there",
        ) from error


def roll_back(store: Store, record: Record) -> tuple[str, ...]:
    """Put back every file of a run; gives those that were edited since, which are left alone."""
    left = tuple(change.path for change in record.changes if not store.put_back(change))
    left += tuple(store.take_away_images(record))
    record.state = "rolled-back"
    store.save(record)
    return left


@contextmanager
def rewriting(store: Store, record: Record) -> Iterator[None]:
    """Around the work of a run: any error, Ctrl-C included, puts its files back.

    Raises SourceError where they cannot be put back (a disk that refuses every write); then each is whole,
    old or new, and the next command that writes puts them back.
    """
    try:
        store.save(record)
        yield
        _reserve(store).unlink(missing_ok=True)
        record.state = "written"
        store.save(record)
    except BaseException as error:
        _take_back(store, record, error)
        raise


def begin(
    store: Store, record: Record, changes: Sequence[Change], images: Sequence[str] = (), source: Path = Path()
) -> None:
    """Write down which files are about to change, and set room aside for putting them back on a full disk.

    images: those of the folder `source` that are about to stand beside them.
    """
    record.changes, record.images = list(changes), list(images)
    record.source = str(source.resolve()) if images else ""
    store.replace(_reserve(store), bytes(_ROOM + 2 * len(to_bytes(record))))
    store.save(record)


def _reserve(store: Store) -> Path:
    return store.folder / "tmp" / "reserve"


def _take_back(store: Store, record: Record, error: BaseException) -> None:
    try:
        _reserve(store).unlink(missing_ok=True)
        if record.changes or record.images:
            settle(store, [record], over=True)  # what was replaced takes room that putting back may need
            roll_back(store, record)
        else:  # nothing was touched, so there is nothing to tell of
            shutil.rmtree(store.run_folder(record.run), ignore_errors=True)
    except (TagflowError, OSError) as second:
        if not record.changes and not record.images:
            return
        raise SourceError(
            f"{error or 'interrupted'}; and not every caption could be put back: {second}. Each is whole, as "
            "before the run or as after it",
            "mend the disk or make room; the next tagflow command that writes here puts them back",
        ) from error
