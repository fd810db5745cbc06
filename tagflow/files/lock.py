"""The lock by which one tagflow works in a folder at a time; open it where a folder is said to be in use.

The system takes it back from a process that is killed.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tagflow.errors import SourceError

LOCK, HOLDER = "lock", "holder.json"


@contextmanager
def held(folder: Path, *, fresh: bool) -> Iterator[None]:
    """Hold a state folder, which is there. Raises SourceError where another process does, and says which.

    A folder in which nothing was kept is removed at the end: `fresh`, if we made it, or else if it was left
    by a command that was killed before it had done anything.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        who = holder(folder)
        at_work = "another tagflow is at work here" + (f" ({who})" if who else "")
        raise SourceError(f"{folder.parent}: {at_work}", "wait until it is done") from None
    except OSError as error:
        raise SourceError(
            f"{folder}: {error.strerror or error}", "make the folder writable, or use --out DIR"
        ) from error
    try:
        # Who holds the lock, for a message only: a full disk may refuse it.
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        who = json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since})
        with suppress(OSError):
            (folder / HOLDER).write_text(who, encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        left = fresh or (_is_empty(folder / "objects") and _is_empty(folder / "replaced"))
        empty = _is_empty(folder / "runs") and left
        if empty:  # still under the lock: nobody may have begun to work in it
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        if empty and os.name == "nt":  # an open file cannot be removed there, the lock was one
            shutil.rmtree(folder, ignore_errors=True)


def holder(folder: Path) -> str | None:
    """Who said last that he holds a state folder; a process that was killed takes nothing back."""
    try:
        data: dict[str, Any] = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        text = f"process {int(data['pid'])} on {data['host']}, since {data['since']} UTC"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return text if text.isprintable() and len(text) < 200 else None


def _is_empty(folder: Path) -> bool:
    """Whether a folder is surely empty or not there; what cannot be listed may hold originals."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except FileNotFoundError:
        return True
    except OSError:
        return False
