"""Files on their way to their place: in `.tagflow/tmp/`, or beside a caption on a file system of its own."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from tagflow.sources.replace import write_and_move

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
