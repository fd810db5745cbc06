"""One file's bytes replaced in one step; open it for what a kill or another writer can do to it on the way.

A reader sees the old file or the new one, whole. What somebody else wrote there meanwhile is not overwritten:
the file is looked at last of all. On its way to its place a file lies in `.tagflow/tmp/`, or beside a caption
on a file system of its own.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from tagflow.errors import SourceError
from tagflow.files.read import digest_of

_PIECE = 1 << 20  # bytes


class Changed(SourceError):
    """A file is not what its new bytes were made from; it was left as it is."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file}: changed while tagflow was at work", "run it again")


def write_and_move(handle: Path, data: bytes, target: Path, still: str | None = None) -> None:
    """Write `handle`, a new file, durably and move it to `target`, whose mode and owner it takes over.

    Both must lie on one file system. `still`: the digest of what `target` must hold even now, empty where
    there must be no such file. Raises Changed where it holds something else, and OSError; `target` is then as
    it was and `handle` is gone.
    """
    try:
        with handle.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            _take_over(handle, target)
        # The clock itself: a kernel's time stamps stand still for milliseconds, and files written one after
        # the other would lose their order.
        written = time.time_ns()
        os.utime(handle, ns=(written, written))
        # Last of all: to write and to sync takes long enough for somebody to save the file in an editor.
        try:
            same = still is None or digest_of(target) == still
        except OSError:  # what cannot be read any more is not what was read
            same = False
        if not same:
            raise Changed(target)
        handle.replace(target)
    finally:
        handle.unlink(missing_ok=True)


def copied(source: Path, handle: Path) -> str:
    """Copy a file of any size to `handle`, a new file, durably; gives the SHA-256 of what was copied.

    Raises OSError; `handle` may be there then.
    """
    digest = hashlib.sha256()
    with source.open("rb") as old, handle.open("wb") as new:
        while piece := old.read(_PIECE):
            digest.update(piece)
            new.write(piece)
        new.flush()
        os.fsync(new.fileno())
    return digest.hexdigest()


def _take_over(handle: Path, target: Path) -> None:
    """Give a new file the mode of the one it replaces, and its owner where we may (root in a container)."""
    if hasattr(os, "chown"):
        old, new = target.stat(), handle.stat()
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            with suppress(PermissionError):
                os.chown(handle, old.st_uid, old.st_gid)
    shutil.copymode(target, handle)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, too. Raises OSError.

    Windows has no such call, and some file systems refuse it: their names are as durable as they get.
    """
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


_TOKEN = re.compile("[0-9a-f]{16}")


def put(tmp: Path, real: Path, target: Path, data: bytes, still: str | None = None) -> None:
    """Put bytes at `target` in one step, by way of `tmp`. `real`: the dataset's folder, links followed.

    `still`: the digest of what `target` must hold even then. Raises Changed and OSError; the target is
    then as it was.
    """
    try:
        write_and_move(tmp / secrets.token_hex(8), data, target, still)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _put_beside(tmp, real, target, data, still)


def _put_beside(tmp: Path, real: Path, target: Path, data: bytes, still: str | None) -> None:
    """The file's folder is a file system of its own: only from within it can a file be moved there.

    A note in `tmp` says where, so that what a kill leaves there is found by the next command.
    """
    token = secrets.token_hex(8)
    note = tmp / f"{token}.beside"
    try:
        note.write_bytes(os.fsencode(target.parent.resolve().relative_to(real)))
        write_and_move(_beside(target.parent, token), data, target, still)
    finally:
        note.unlink(missing_ok=True)


def sweep(tmp: Path, real: Path) -> None:
    """Remove what a kill left on its way, here and beside captions. Call it under the store's lock."""
    for note in tmp.glob("*.beside"):
        with suppress(OSError, ValueError):
            folder = (real / os.fsdecode(note.read_bytes())).resolve()
            if _TOKEN.fullmatch(note.stem) and folder.is_relative_to(real):
                _beside(folder, note.stem).unlink(missing_ok=True)
    shutil.rmtree(tmp, ignore_errors=True)


def _beside(folder: Path, token: str) -> Path:
    return folder / f".tagflow-{token}.tmp"
