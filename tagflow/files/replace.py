"""One file's bytes replaced in one step; open it for what a kill or another writer can do to it on the way.

A reader sees the old file or the new one, whole. What somebody else wrote there meanwhile is not overwritten:
the file is looked at last of all, and what was really replaced afterwards, for it still lies aside. On its
way to its place a file lies in `.tagflow/tmp/`, what was replaced in `.tagflow/replaced/`; both lie beside a
caption that is on a file system of its own.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tagflow.errors import SourceError
from tagflow.files.exchange import LINKED, name_new, swap
from tagflow.files.read import digest_of, sha256

_PIECE = 1 << 20  # bytes


class Changed(SourceError):
    """A file is not what its new bytes were made from; it was left as it is."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file}: changed while tagflow was at work", "run it again")


@dataclass(frozen=True, slots=True)
class Still:
    """What a file must hold even when it is replaced.

    `digest`: the SHA-256, empty where there must be no file. `aside`: the name, on the same file system, that
    what was really replaced has from then on.
    """

    digest: str
    aside: Path


def write_and_move(handle: Path, data: bytes, target: Path, still: Still | None = None) -> None:
    """Write `handle`, a new file, durably and move it to `target`, whose mode and owner it takes over.

    Both must lie on one file system. Raises Changed where `target` is not what it must still be, and OSError;
    it is then as it was, or as somebody else has left it meanwhile, and `handle` is gone. Only where somebody
    wrote to it twice within that moment, what was written first stays at `still.aside`.
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
        if still is None:
            handle.replace(target)
            return
        # Last of all: to write and to sync takes long enough for somebody to save the file in an editor.
        if not holds(target, still.digest):
            raise Changed(target)
        if not still.digest:
            name_new(handle, target)
            return
        handle.replace(still.aside)  # what lies there is whole, whenever a kill comes
    except FileExistsError:
        raise Changed(target) from None
    finally:
        handle.unlink(missing_ok=True)
    try:
        kept = swap(still.aside, target)
    except OSError as error:
        still.aside.unlink(missing_ok=True)
        if isinstance(error, FileNotFoundError):
            raise Changed(target) from None
        raise
    if kept and not holds(still.aside, still.digest):
        give_back(still.aside, target, sha256(data))
        raise Changed(target)


def holds(file: Path, digest: str) -> bool:
    """Whether a file holds just these bytes: their SHA-256 or its first digits; empty for no file.

    A link, and what cannot be read any more, does not.
    """
    try:
        now = "" if file.is_symlink() else digest_of(file)
    except OSError:
        return False
    return now.startswith(digest) if digest else not os.path.lexists(file)


def give_back(aside: Path, target: Path, *ours: str) -> bool:
    """Put what was replaced, and turned out to be somebody's text, back in its place; whether it is there.

    Only while `target` holds something of `ours`, digests or their first digits. Of two texts that were
    saved within this moment the later one gets the place, and the other one stays at `aside`.
    """
    if not any(holds(target, digest) for digest in ours):
        return False
    with suppress(OSError):
        swap(aside, target)
        if any(holds(aside, digest) for digest in ours):
            aside.unlink()
            return True
        swap(aside, target)
    return False


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


TMP, REPLACED = "tmp", "replaced"
_TOKEN = re.compile("[0-9a-f]{16}")
_START = 32  # hexadecimal digits of a digest in a name
_PART = f"([0-9a-f]{{{_START}}})-"
_ASIDE = re.compile(rf"(?:\.tagflow-)?{_PART * 3}[0-9a-f]{{16}}(?:\.old)?(?:{re.escape(LINKED)})?")


@dataclass(frozen=True, slots=True)
class Replaced:
    """A file that was replaced and still lies aside, as its name tells.

    `path`: the key of the place that it had (`place_key`); `old`: what it should hold, `new`: what it was
    replaced with, each by the first digits of its SHA-256. `note`: says where, if not with the others.
    """

    file: Path
    path: str
    old: str
    new: str
    note: Path | None = None


def place_key(real: Path, target: Path) -> str:
    """How a place below the folder `real` is named where its path would be too long or odd for a name."""
    return sha256(os.fsencode(target.relative_to(real)))[:_START]


def put(state: Path, real: Path, target: Path, data: bytes, still: str | None = None) -> None:
    """Put bytes at `target` in one step, by way of the state folder. `real`: the dataset's, links followed.

    `still`: the digest of what `target` must hold even then, empty for no file; what was really replaced lies
    aside from then on (`replaced_files`). Raises Changed and OSError, as `write_and_move` does.
    """
    token = secrets.token_hex(8)
    aside = _aside_name(real, target, still, sha256(data), token) if still else ""
    must = None if still is None else Still(still, state / REPLACED / aside)
    try:
        write_and_move(state / TMP / token, data, target, must)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The file's folder is a file system of its own: only from within it can a file be moved there. A note
        # says where, so that what is left there is found.
        note = state / TMP / f"{token}.beside"
        folder = target.parent
        must = None if still is None else Still(still, folder / f".tagflow-{aside}.old")
        try:
            note.write_bytes(os.fsencode(folder.resolve().relative_to(real)))
            write_and_move(_beside(folder, token), data, target, must)
        finally:
            if not must or not os.path.lexists(must.aside):
                note.unlink(missing_ok=True)


def remove(state: Path, real: Path, target: Path, digest: str) -> None:
    """Remove a file that holds just what it must. Raises Changed where it does not, and stays."""
    aside = state / REPLACED / _aside_name(real, target, digest, "0" * _START, secrets.token_hex(8))
    try:
        target.rename(aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if not holds(target, digest):
            raise Changed(target) from None
        target.unlink()
        return
    if not holds(aside, digest):
        with suppress(FileExistsError):  # whoever wrote there twice has the second text there
            name_new(aside, target)
            aside.unlink(missing_ok=True)
        raise Changed(target)
    aside.unlink()


def _aside_name(real: Path, target: Path, old: str, new: str, token: str) -> str:
    return f"{place_key(real, target)}-{old[:_START]}-{new[:_START]}-{token}"


def _beside(folder: Path, token: str) -> Path:
    return folder / f".tagflow-{token}.tmp"


def replaced_files(state: Path, real: Path) -> Iterator[Replaced]:
    """What was replaced and still lies aside, here and beside captions."""
    places: list[tuple[Path, Path | None]] = [(file, None) for file in (state / REPLACED).glob("*")]
    for note, folder in _notes(state / TMP, real):
        places += [(file, note) for file in folder.glob(f".tagflow-*-{note.stem}.old*")]
    for file, beside in places:
        if (found := _ASIDE.fullmatch(file.name)) and file.is_file() and not file.is_symlink():
            yield Replaced(file, found[1], found[2], found[3], beside)


def _notes(tmp: Path, real: Path) -> Iterator[tuple[Path, Path]]:
    """Each note in `tmp`, and the folder that it leads to."""
    for note in tmp.glob("*.beside"):
        with suppress(OSError, ValueError):
            folder = (real / os.fsdecode(note.read_bytes())).resolve()
            if _TOKEN.fullmatch(note.stem) and folder.is_relative_to(real):
                yield note, folder


def sweep(state: Path, real: Path) -> None:
    """Remove what a kill left on its way, here and beside captions. Call it under the store's lock.

    What was replaced stays, and the notes that lead there.
    """
    needed = {one.note for one in replaced_files(state, real)}
    for note, folder in _notes(state / TMP, real):
        with suppress(OSError):
            _beside(folder, note.stem).unlink(missing_ok=True)
    for file in (state / TMP).glob("*"):
        if file not in needed:
            with suppress(OSError):
                file.unlink()
    with suppress(OSError):
        (state / TMP).rmdir()
