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
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from tagflow.errors import AuditError, SourceError
from tagflow.sources.folder import AUDIT_NAME, STATE_FOLDER, sha256
from tagflow.sources.record import Change, Record, read_record, to_bytes
from tagflow.sources.replace import write_and_move


class Store:
    """The state folder of one dataset. Made on first write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real = root.resolve()
        self.folder = root / STATE_FOLDER

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one command that writes. Raises SourceError where another holds it.

        A command that fails before it has written anything leaves no state folder behind.
        """
        fresh = not self.folder.exists()
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
            if fresh and not (self.folder / "runs").exists():
                shutil.rmtree(self.folder, ignore_errors=True)

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
        data = self._bytes_of(self._object(digest))
        if sha256(data) != digest:
            raise AuditError(
                f"{self._object(digest)}: the bytes do not match their digest", "restore a backup"
            )
        return data

    def _bytes_of(self, file: Path) -> bytes:
        try:
            return file.read_bytes()
        except OSError as error:
            raise AuditError(
                f"{file}: {error.strerror}; tagflow needs it to bring things back", "restore it from a backup"
            ) from error

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
        if not (self.folder / "tmp").is_dir():
            self._make()
        try:
            write_and_move(self.folder / "tmp" / secrets.token_hex(8), data, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # The file's folder is a file system of its own: only from within it can a file be moved there.
            write_and_move(target.with_name(f".tagflow-{secrets.token_hex(8)}.tmp"), data, target)

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

    # -- records -------------------------------------------------------------------------------------

    def runs(self) -> list[Record]:
        """All runs, oldest first. Raises AuditError for a damaged record."""
        folders = sorted((self.folder / "runs").glob("*/record.json"))
        return [read_record(file) for file in folders]

    def run_folder(self, run: str) -> Path:
        """The folder of one run, made if need be."""
        folder = self.folder / "runs" / run
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def save(self, record: Record) -> None:
        """Write a record down, durably."""
        self.replace(self.run_folder(record.run) / "record.json", to_bytes(record))

    def put_back(self, change: Change, *, force: bool = False) -> bool:
        """Bring one file back to its bytes before; whether it is there now.

        A file that is neither as before nor as the run left it was edited: it is left alone unless forced,
        and then what it held is kept among the originals.
        """
        target = self.place(change.path)
        data = target.read_bytes() if target.is_file() else None
        now = None if data is None else sha256(data)
        if now == change.before:
            return True
        if now != change.after and not force:
            return False
        if data is not None and now != change.after:
            self.keep(data)
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
        try:
            self.save(record)
            yield
            record.state = "written"
            self.save(record)
        except BaseException:
            self._roll_back(record)
            raise

    # -- audits --------------------------------------------------------------------------------------

    def publish(self, record: Record) -> Path:
        """Put a run's audit where users look for it, and mark the run as done."""
        audit = self._bytes_of(self.audit_of(record))
        self.replace(self.root / AUDIT_NAME, audit)
        record.state = "done"
        self.save(record)
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


def _failed(where: Path, error: OSError) -> SourceError:
    return SourceError(f"{where}: {error.strerror or error}", "make the folder writable, or use --out DIR")
