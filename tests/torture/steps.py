"""The calls to the file system that a command makes in one folder, counted; something is done at one of them.

Python tells an audit hook of every open, rename, removal, ... before it happens. It does not tell of writes,
fsyncs and exchanges; those are wrapped. A write is torn: half of it is on the disk when its turn comes.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tagflow.files import exchange

EVENTS = {
    "os.rename": "rename", "os.remove": "unlink", "os.mkdir": "mkdir", "os.rmdir": "rmdir",
    "os.utime": "utime", "os.chmod": "chmod", "os.chown": "chown", "os.link": "link",
}  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
Act = Callable[[int, str, str], None]


class Steps:
    """Counts, and calls `act(number, name, path)` before each step. `reads`: opens to read are steps, too.

    `far`: a subfolder that plays a file system of its own: no file can be moved into it from outside.
    `exchanges`: whether the file systems can exchange two names.
    """

    def __init__(
        self, root: Path, act: Act, *, reads: bool = False, far: str = "", exchanges: bool = True
    ) -> None:
        self.root, self.act, self.reads, self.far = str(root), act, reads, far
        self.exchanges = exchanges
        self.names: list[str] = []
        self._busy = False

    def step(self, name: str, path: object) -> None:
        where = os.fspath(path) if isinstance(path, str | bytes | os.PathLike) else ""
        where = os.fsdecode(where)
        if self._busy or not (where.startswith(self.root) or not Path(where).is_absolute()):
            return
        self._busy = True
        try:
            self.names.append(name)
            self.act(len(self.names), name, where)
        finally:
            self._busy = False

    def install(self) -> None:
        """From now on in this process. There is no way back: call it in a child."""
        sys.addaudithook(self._hook)
        sync, opened = os.fsync, io.open

        def fsync(descriptor: Any) -> None:
            self.step("fsync", "")
            sync(descriptor)

        def tearing(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
            made = opened(file, mode, *args, **more)
            ours = isinstance(file, str | os.PathLike) and os.fspath(file).startswith(self.root)
            return (
                _Torn(made, os.fspath(file), self) if ours and mode.strip("bt+") in ("w", "x", "a") else made
            )

        swapped = exchange.exchange

        def swapping(one: Path, other: Path) -> bool:
            if not self.exchanges:
                return False
            self.step("exchange", other)
            self._hold_apart(one, other)
            return swapped(one, other)

        exchange.exchange = swapping
        os.fsync = fsync
        io.open = builtins.open = tearing

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str | bytes | os.PathLike):
            writes = bool(args[2] & WRITES)
            if Path(os.fsdecode(args[0])).is_absolute() and (writes or self.reads):
                self.step("open" if writes else "read", args[0])
        elif event in EVENTS:
            self.step(EVENTS[event], args[0])
            if event in ("os.rename", "os.link"):
                self._hold_apart(*args[:2])

    def _hold_apart(self, *paths: object) -> None:
        if self.far and len({self.far in str(path) for path in paths}) == 2:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(paths[1]))


class _Torn:
    """A file of which each write has its step when half of it is done."""

    def __init__(self, file: Any, path: str, steps: Steps) -> None:
        self._file, self._path, self._steps = file, path, steps

    def write(self, data: Any) -> int:
        half = len(data) // 2
        written = self._file.write(data[:half])
        self._file.flush()
        self._steps.step("write", self._path)
        return int(written + self._file.write(data[half:]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Torn:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def nothing(number: int, name: str, path: str) -> None:
    """Only count."""


def kill_at(wanted: int) -> Act:
    """Kill this process, as `kill -9` does, at the step with this number."""

    def act(number: int, name: str, path: str) -> None:
        if number == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def fail_at(wanted: int, code: int, *, from_then_on: bool) -> Act:
    """Have the step fail with an errno; `from_then_on`: all after it that need room, too (a full disk)."""

    def act(number: int, name: str, path: str) -> None:
        needs_room = name in ("open", "write", "mkdir", "fsync")
        if number == wanted or (from_then_on and number > wanted and needs_room):
            raise OSError(code, os.strerror(code), path)

    return act


def interrupt_at(wanted: int) -> Act:
    """Ctrl-C at the step with this number."""

    def act(number: int, name: str, path: str) -> None:
        if number == wanted:
            raise KeyboardInterrupt

    return act


FAULTS = {
    "disk full": (errno.ENOSPC, True), "disk full for a moment": (errno.ENOSPC, False),
    "input/output error": (errno.EIO, False), "permission denied": (errno.EACCES, False),
    "interrupted": (errno.EINTR, False), "read-only file system": (errno.EROFS, True),
}  # fmt: skip
BLOWS: dict[str, Callable[[int], Act]] = {"kill": kill_at, "Ctrl-C": interrupt_at} | {
    name: partial(fail_at, code=code, from_then_on=then) for name, (code, then) in FAULTS.items()
}
"""All that may strike a command, by name: each is asked for the step at which it strikes."""
