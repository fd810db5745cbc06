"""One file's bytes replaced in one step: a reader sees the old file or the new one, whole."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path


def write_and_move(handle: Path, data: bytes, target: Path) -> None:
    """Write `handle`, a new file, durably and move it to `target`, whose mode and owner it takes over.

    Both must lie on one file system. Raises OSError; `target` is then as it was and `handle` is gone.
    """
    try:
        with handle.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            _take_over(handle, target)
        handle.replace(target)
    finally:
        handle.unlink(missing_ok=True)


def _take_over(handle: Path, target: Path) -> None:
    """Give a new file the mode of the one it replaces, and its owner where we may (root in a container)."""
    if hasattr(os, "chown"):
        old, new = target.stat(), handle.stat()
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            with suppress(PermissionError):
                os.chown(handle, old.st_uid, old.st_gid)
    shutil.copymode(target, handle)
