"""`DIR/.tagflow/`: what makes every rewrite undoable, and a crash harmless.

    .tagflow/objects/ab/cdef...     originals, named by their SHA-256
    .tagflow/runs/RUN/record.json   what the run did to which file, and how far it came
    .tagflow/runs/RUN/audit.parquet the run's audit
    .tagflow/tmp/                   files on their way to their place
    .tagflow/lock                   one tagflow at a time

The record is saved before the first caption is replaced (`writing`), again when all files and the run's
audit are in place (`written`), and once more when the audit is published (`done`). So a run that was cut off
is known, and the next command that writes puts its files back or publishes its audit.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from filelock import FileLock, Timeout

from tagflow.errors import AuditError, SourceError
from tagflow.sources.folder import inside, sha256

AUDIT_NAME = "tagflow-audit.parquet"
RECORD = "tagflow.record/1"
State = Literal["writing", "written", "done", "undone", "rolled-back"]


@dataclass(frozen=True, slots=True)
class Change:
    """One file of a run: the digests of its bytes before and after."""

    path: str
    before: str
    after: str


@dataclass(slots=True)
class Record:
    """What one run did. `changes` names every caption it was going to replace."""

    run: str
    command: str
    state: State
    changes: list[Change] = field(default_factory=list)


def new_run_id() -> str:
    """A name for a run that sorts by time."""
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f-") + secrets.token_hex(2)


class Store:
    """The state folder of one dataset. Made on first write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".tagflow"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one command that writes. Raises SourceError where another holds it."""
        self._make()
        lock = FileLock(self.folder / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise SourceError(
                f"{self.root}: another tagflow is at work here", "wait until it is done"
            ) from None
        except OSError as error:
            raise _failed(self.folder, error) from error
        try:
            yield
        finally:
            lock.release()

    def _make(self) -> None:
        try:
            (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise _failed(self.folder, error) from error

    # -- bytes ---------------------------------------------------------------------------------------

    def keep(self, data: bytes) -> str:
        """Keep bytes under their digest; gives the digest."""
        digest = sha256(data)
        place = self._object(digest)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            self.replace(place, data)
        return digest

    def kept(self, digest: str) -> bytes:
        """The bytes of a digest. Raises AuditError where they are gone or damaged."""
        try:
            data = self._object(digest).read_bytes()
        except OSError as error:
            raise AuditError(f"{self._object(digest)}: {error.strerror}", "the original is lost") from error
        if sha256(data) != digest:
            raise AuditError(
                f"{self._object(digest)}: the bytes do not match their digest", "restore a backup"
            )
        return data

    def _object(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise AuditError(f"{self.folder}: {digest!r} is no digest", "the run record is damaged")
        return self.folder / "objects" / digest[:2] / digest[2:]

    def replace(self, target: Path, data: bytes) -> None:
        """Put bytes at `target` in one step: a reader sees the old file or the new one, whole.

        The file keeps its mode. Raises SourceError; the target is then as it was.
        """
        try:
            self._replace(target, data)
        except OSError as error:
            cure = (
                "free some room" if error.errno == errno.ENOSPC else "mend the permissions, or use --out DIR"
            )
            raise SourceError(f"{target}: cannot be written ({error.strerror or error})", cure) from error

    def _replace(self, target: Path, data: bytes) -> None:
        self._make()
        handle = self.folder / "tmp" / secrets.token_hex(8)
        try:
            _write(handle, data, target)
            try:
                handle.replace(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                handle = _beside(handle, target)
                handle.replace(target)
        finally:
            handle.unlink(missing_ok=True)

    def place(self, path: str) -> Path:
        """Where a recorded path lies, links followed. Raises AuditError where that is outside the folder."""
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not inside(self.root, self.root / path):
            raise AuditError(f"{self.folder}: {path!r} leaves the folder", "the run record is damaged")
        return (self.root / path).resolve()

    # -- records -------------------------------------------------------------------------------------

    def runs(self) -> list[Record]:
        """All runs, oldest first. Raises AuditError for a damaged record."""
        folders = sorted((self.folder / "runs").glob("*/record.json"))
        return [_read_record(file) for file in folders]

    def run_folder(self, run: str) -> Path:
        """The folder of one run, made if need be."""
        folder = self.folder / "runs" / run
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def save(self, record: Record) -> None:
        """Write a record down, durably."""
        text = json.dumps({"schema": RECORD, **asdict(record)}, ensure_ascii=False, indent=1)
        self.replace(self.run_folder(record.run) / "record.json", text.encode())

    def put_back(self, change: Change, *, force: bool = False) -> bool:
        """Bring one file back to its bytes before; whether it is there now.

        A file that is neither as before nor as the run left it was edited: it is left alone unless forced.
        """
        target = self.place(change.path)
        now = sha256(target.read_bytes()) if target.is_file() else None
        if now == change.before:
            return True
        if now != change.after and not force:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        self.replace(target, self.kept(change.before))
        return True

    def recover(self) -> list[Record]:
        """Finish what was cut off: put back half-written runs, publish the audits of whole ones.

        Gives the runs that were put back. Call it under the lock.
        """
        cut_off = [record for record in self.runs() if record.state == "writing"]
        for record in reversed(cut_off):
            self._roll_back(record)
        for record in self.runs():
            if record.state == "written":
                self.publish(record)
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        return cut_off

    def _roll_back(self, record: Record) -> None:
        for change in record.changes:
            self.put_back(change)
        record.state = "rolled-back"
        self.save(record)

    @contextmanager
    def rewriting(self, record: Record) -> Iterator[None]:
        """Around the replacing of a run's captions: any error, Ctrl-C included, puts them all back."""
        self.save(record)
        try:
            yield
        except BaseException:
            self._roll_back(record)
            raise
        record.state = "written"
        self.save(record)

    # -- audits --------------------------------------------------------------------------------------

    def publish(self, record: Record) -> Path:
        """Put a run's audit where users look for it, and mark the run as done."""
        audit = self._audit_of(record).read_bytes()
        self.replace(self.root / AUDIT_NAME, audit)
        record.state = "done"
        self.save(record)
        return self.root / AUDIT_NAME

    def keep_audit(self, record: Record, data: bytes) -> None:
        """Store a run's audit in the run's own folder, where it stays."""
        self.run_folder(record.run)
        self.replace(self._audit_of(record), data)

    def _audit_of(self, record: Record) -> Path:
        return self.folder / "runs" / record.run / "audit.parquet"

    def undo(self, records: Sequence[Record], *, force: bool) -> tuple[int, list[str]]:
        """Undo runs, newest first; gives how many files came back and the paths that were left alone.

        The audit of the newest run that still stands takes its place again. A run of which files were left
        alone still stands, so that it can be undone again with `force`.
        """
        restored, left = 0, list[str]()
        for record in records:
            back = {change.path: self.put_back(change, force=force) for change in record.changes}
            restored += sum(back.values())
            left += [path for path, done in back.items() if not done]
            if all(back.values()):
                record.state = "undone"
                self.save(record)
        standing = standing_runs(self.runs())
        if standing:
            self.publish(standing[0])
        else:
            (self.root / AUDIT_NAME).unlink(missing_ok=True)
        return restored, sorted(set(left))


def _write(handle: Path, data: bytes, target: Path) -> None:
    with handle.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileNotFoundError):
        shutil.copymode(target, handle)


def _beside(handle: Path, target: Path) -> Path:
    """Move a temporary file next to its target, for a folder that is a file system of its own."""
    near = target.with_name(f".tagflow-{handle.name}.tmp")
    shutil.copy(handle, near)
    handle.unlink()
    return near


def _failed(where: Path, error: OSError) -> SourceError:
    return SourceError(f"{where}: {error.strerror or error}", "make the folder writable, or use --out DIR")


def _read_record(file: Path) -> Record:
    try:
        data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        changes = [Change(str(one["path"]), str(one["before"]), str(one["after"])) for one in data["changes"]]
        if data["schema"] != RECORD or data["run"] != file.parent.name:
            raise KeyError("schema")
        return Record(data["run"], str(data["command"]), data["state"], changes)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AuditError(f"{file}: not a run record ({error})", "move this run's folder away") from error


def standing_runs(records: Sequence[Record]) -> list[Record]:
    """The runs that were not undone, newest first."""
    return [record for record in reversed(records) if record.state == "done"]
