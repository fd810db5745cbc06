"""`DIR/.tagflow/`, where replaced bytes are kept; open it for where a thing lies, or what a prune gives up.

It makes every rewrite undoable, and a crash harmless.

    .tagflow/objects/ab/cdef...     originals, named by their SHA-256
    .tagflow/runs/RUN/record.json   what the run did to which file, and how far it came
    .tagflow/runs/RUN/audit.parquet the run's audit
    .tagflow/tmp/                   files on their way to their place
    .tagflow/replaced/              the files that the last command replaced (late.py)
    .tagflow/lock, holder.json      one tagflow at a time, and which

The record is saved before the first caption is replaced (`writing`), again when all files and the run's audit
are in place (`written`), and once more when the audit is published (`done`). So a run that was cut off is
known, and the next command that writes puts its files back or publishes its audit (undo.py).
"""

from __future__ import annotations

import errno
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from tagflow.dataset.survey import AUDIT_NAME, state_folder
from tagflow.errors import AuditError, SourceError
from tagflow.files.link import How, place, take_away
from tagflow.files.lock import held
from tagflow.files.read import digest_of, inside, sha256
from tagflow.files.replace import (
    REPLACED,
    TMP,
    Changed,
    Replaced,
    copied,
    holds,
    put,
    remove,
    replaced_files,
    sweep,
    sync_folder,
)
from tagflow.history.record import CUT_OFF, Change, Record, new_run_id, read_record, sorts, to_bytes


class Store:
    """The state folder of one dataset, made on first write. Raises SourceError where it has links in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real = root.resolve()
        self.folder = state_folder(root)
        self._unsynced: set[Path] = set()  # folders with originals whose names may not be on the disk yet

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one command that writes. Raises SourceError where another holds it.

        A command that fails before it has written anything leaves no state folder behind.
        """
        fresh = not self.folder.exists()
        self._make()
        with held(self.folder, fresh=fresh):
            yield

    def _make(self) -> None:
        try:
            for name in (TMP, REPLACED):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            ignore = self.folder / ".gitignore"
            if not ignore.exists() or not ignore.stat().st_size:  # a kill may have left it empty
                ignore.write_text("*\n", encoding="utf-8")
        except OSError as error:
            where, why = self.folder, error.strerror or error
            raise SourceError(f"{where}: {why}", "make the folder writable, or use --out DIR") from error

    # -- bytes ---------------------------------------------------------------------------------------

    def keep(self, data: bytes) -> str:
        """Keep bytes under their digest; gives the digest. Raises SourceError.

        What lies there already is looked at: a disk may have damaged it, or cut it short.
        """
        digest = sha256(data)
        place = self.object(digest)
        if not holds(place, digest):
            self.make_room(place)
            self.replace(place, data)
            self._unsynced |= {place.parent, place.parent.parent}
        return digest

    def keep_file(self, file: Path) -> str:
        """Keep a file of any size, piece by piece; gives the digest of what was kept. Raises SourceError."""
        handle = self._way() / secrets.token_hex(8)
        with self._writing_to(self.folder / "objects"):
            try:
                place = self.object(digest := copied(file, handle))
                self.make_room(place)
                handle.replace(place)
            finally:
                handle.unlink(missing_ok=True)
        self._unsynced |= {place.parent, place.parent.parent}
        return digest

    def kept(self, digest: str) -> bytes:
        """The bytes of a digest. Raises AuditError where they are gone or damaged."""
        data = self._bytes_of(self.object(digest))
        if sha256(data) != digest:
            raise AuditError(
                f"{self.object(digest)}: the bytes do not match their digest", "restore a backup"
            )
        return data

    def _bytes_of(self, file: Path) -> bytes:
        try:
            return file.read_bytes()
        except OSError as error:
            raise AuditError(
                f"{file}: {error.strerror}; tagflow needs it to bring things back", "restore it from a backup"
            ) from error

    def object(self, digest: str) -> Path:
        """Where the bytes of a digest lie, if they are kept. Raises AuditError for what is no digest."""
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise AuditError(f"{self.folder}: {digest!r} is no digest", "the run record is damaged")
        return self.folder / "objects" / digest[:2] / digest[2:]

    def replace(self, target: Path, data: bytes, *, still: str | None = None) -> None:
        """Put bytes at `target` in one step: a reader sees the old file or the new one, whole.

        The file keeps its mode. `still`: the digest of what it must hold until it is replaced, empty for no
        file. Raises Changed where it does not, else SourceError; the target is then as it was.
        """
        with self._writing_to(target):
            if not inside(self.real, target.parent):  # a link in the state folder
                raise OSError(errno.ELOOP, "its folder lies outside the captions' folder")
            self._way()
            put(self.folder, self.real, target, data, still)

    def _way(self) -> Path:
        """The folder of files on their way to their place; beside it is that of replaced ones."""
        if not ((self.folder / TMP).is_dir() and (self.folder / REPLACED).is_dir()):
            self._make()
        return self.folder / TMP

    def replaced(self) -> list[Replaced]:
        """The files that were replaced and still lie aside."""
        return list(replaced_files(self.folder, self.real))

    @contextmanager
    def _writing_to(self, target: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            cure = "free some room" if full else "mend the disk or the permissions, or use --out DIR"
            raise SourceError(f"{target}: cannot be written ({error.strerror or error})", cure) from error

    def sweep(self) -> None:
        """Remove what a kill left on its way to its place. Call it under the lock."""
        sweep(self.folder, self.real)
        for run in (self.folder / "runs").glob("*"):
            with suppress(OSError):  # a run that was killed before its record was there; others are not empty
                run.rmdir()

    def place(self, path: str) -> Path:
        """Where a recorded path lies, links followed. Raises AuditError where that is outside the folder."""
        pure = PurePosixPath(path)
        hidden = any(part.startswith(".") for part in pure.parts)  # `..` too; no caption lies there
        try:
            target = (self.real / path).resolve()
        except (OSError, RuntimeError):  # Python 3.11 and 3.12 raise RuntimeError for a link to itself
            hidden, target = True, self.real
        if pure.is_absolute() or hidden or not target.is_relative_to(self.real):
            raise AuditError(
                f"{self.folder}: {path!r} leaves the captions' folder",
                "the run record was altered; move its folder away",
            )
        return target

    def place_image(self, source: Path, path: str, how: How) -> How:
        """Put an image of another folder here, under the same path; gives how. Raises SourceError."""
        target = self.root / path
        self.make_room(target)
        with self._writing_to(target):
            return place(source / path, target, self._way(), how)

    # -- records -------------------------------------------------------------------------------------

    def runs(self) -> list[Record]:
        """All runs, oldest first. Raises AuditError for a damaged record."""
        files = (self.folder / "runs").glob("*/record.json")
        return [read_record(file) for file in sorted(files, key=lambda file: sorts(file.parent.name))]

    def new_run(self) -> str:
        """A name for a run that sorts after all that are here, whatever became of the clock.

        Raises AuditError where no time is left after the newest.
        """
        newest = max((folder.name for folder in (self.folder / "runs").glob("*")), key=sorts, default="")
        try:
            return new_run_id(newest)
        except OverflowError:
            folder = self.folder / "runs" / newest
            raise AuditError(
                f"{folder}: is said to be of the end of time, so no run can come after it",
                "no tagflow has made it; move this folder away",
            ) from None

    def run_folder(self, run: str) -> Path:
        """The folder of one run, made if need be. Raises SourceError."""
        folder = self.folder / "runs" / run
        with self._writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def save(self, record: Record) -> None:
        """Write a record down, durably, after the originals that it speaks of. Raises SourceError."""
        folder = self.run_folder(record.run)
        self._sync(*self._unsynced)
        self._unsynced.clear()
        self.replace(folder / "record.json", to_bytes(record))
        self._sync(folder, folder.parent, self.folder, self.root)

    def _sync(self, *folders: Path) -> None:
        for folder in folders:
            with self._writing_to(folder):
                sync_folder(folder)

    def put_back(self, change: Change, *, edited: str | None = None) -> bool:
        """Bring one file back to its bytes before; whether it is there now.

        A file that is neither as before nor as the run left it was edited: it is left alone, unless it is as
        `edited` says, the digest of an edit that is kept (see undo.py), empty for a file that is gone.
        """
        target = self.place(change.path)
        now = digest_of(target)
        if now == change.before:
            return True
        if now not in (change.after, edited):
            return False
        try:
            if not change.before:  # a run made it: it goes, and the folders that are empty without it
                self._way()
                remove(self.folder, self.real, target, now)
                self._remove_empty(target)
            else:
                self.make_room(target)
                self.replace(target, self.kept(change.before), still=now)
        except Changed:
            return False
        return True

    def take_away_images(self, record: Record) -> list[str]:
        """Remove the images that a run put here, and the folders that are empty without them.

        Gives those that stay: what is not the source's image any more is somebody else's.
        """
        left = []
        for path in record.images:
            self.place(path.rpartition("/")[0])
            target = self.real / path
            if take_away(Path(record.source) / path, target):
                self._remove_empty(target)
            else:
                left.append(path)
        return left

    def _remove_empty(self, target: Path) -> None:
        with suppress(OSError):
            for folder in target.relative_to(self.real).parents[:-1]:
                (self.real / folder).rmdir()

    def make_room(self, target: Path) -> None:
        """Make the folder that a file is to lie in. Raises SourceError."""
        with self._writing_to(target):
            target.parent.mkdir(parents=True, exist_ok=True)

    # -- audits --------------------------------------------------------------------------------------

    def publish(self, record: Record) -> Path:
        """Put a run's audit where users look for it, and mark the run as done."""
        file = self.show_audit(record)
        record.state = "done"
        self.save(record)
        return file

    def show_audit(self, record: Record) -> Path:
        """Put a run's audit where users look for it."""
        self.replace(self.root / AUDIT_NAME, self._bytes_of(self.audit_of(record)))
        return self.root / AUDIT_NAME

    def keep_audit(self, record: Record, data: bytes) -> None:
        """Store a run's audit in the run's own folder, where it stays."""
        self.run_folder(record.run)
        self.replace(self.audit_of(record), data)

    def audit_of(self, record: Record) -> Path:
        """Where a run's own copy of its audit lies."""
        return self.folder / "runs" / record.run / "audit.parquet"

    def kept_audits(self) -> list[Path]:
        """The audits of all runs that finished, undone ones too."""
        return sorted((self.folder / "runs").glob("*/audit.parquet"))


_NAME = re.compile("[0-9a-f]{62}")


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune does: the runs that it gives up (they stand and cannot be undone then) and the files.

    `size`: bytes of the files.
    """

    runs: tuple[Record, ...]
    files: tuple[Path, ...]
    size: int


def plan_prune(store: Store, *, keep: int | None = None, before: datetime | None = None) -> PrunePlan:
    """What could go. Without limits: what no run that stands needs, edits put aside by force not among it.

    keep: all but the newest `keep` runs that can be undone are given up; before: those from before then.
    Raises AuditError for a damaged record: without it, nobody knows what is needed.
    """
    records = store.runs()
    old = _old(records, keep, before)
    needed = set[str]()
    for record in records[len(old) :]:
        if not record.pruned and (record.stands or record.state in CUT_OFF):
            needed |= record.digests()
        elif not record.pruned:  # undone: only the edits that a forced undo put aside are still to be had
            needed |= {edit.sha256 for edit in record.aside}
    for record in old:
        if record.state in CUT_OFF:  # its files are not put back yet
            needed |= record.digests()
    files = tuple(
        file
        for file in sorted((store.folder / "objects").glob("??/*"))
        if file.parent.name + file.name not in needed
        and _NAME.fullmatch(file.name)
        and file.is_file()
        and not file.parent.is_symlink()  # another dataset's originals may lie there
    )
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
