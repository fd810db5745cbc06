"""The trainer's process and all that it starts; open it for how they are begun, and ended with none left.

The trainer gets a session of its own (on Windows: a process group), so that Ctrl-C reaches tagflow first, and
writes straight into a file: a pipe would break, and the trainer with it, if tagflow were killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tagflow.errors import TrainerError

if TYPE_CHECKING:
    import psutil

GRACE = 20.0
"""Seconds that a trainer gets for its own end."""

_WINDOWS = sys.platform == "win32"
_TICK = 0.1  # seconds between two looks
_LOOK = 5.0  # seconds between two looks at who belongs to the child


class Child:
    """A trainer that runs. Raises TrainerError where it cannot be started."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], output: IO[bytes]
    ) -> None:
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP
        try:
            self._process = subprocess.Popen(  # noqa: S603  an argument list, of our own words
                list(command), cwd=folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=not _WINDOWS, creationflags=flags,
            )  # fmt: skip
        except OSError as problem:
            raise TrainerError(
                f"{command[0]}: could not be started ({problem.strerror or problem})",
                "name the trainer's Python with --trainer-python",
            ) from problem
        self.pid = self._process.pid
        self._seen: dict[int, psutil.Process] = {}
        self._looked = 0.0
        self._look()

    def wait(self, seconds: float = _TICK) -> int | None:
        """The exit code once the child has ended, else None after this time."""
        if time.monotonic() - self._looked > _LOOK:
            self._look()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def end(self, grace: float = GRACE, hurry: Callable[[], bool] = lambda: False) -> bool:
        """End it and all its processes: asked, asked again half-way, then by force. Gives whether forced.

        `hurry` is asked all the time; once it says yes the rest is by force.
        """
        for ask in (self._ask, self._terminate):
            ask()
            deadline = time.monotonic() + grace / 2
            while self._members() and time.monotonic() < deadline and not hurry():
                self.wait()
            if not self._members() or hurry():
                break
        return self.sweep()

    def sweep(self) -> bool:
        """End by force what is left of it, and wait for that. Gives whether anything was left."""
        left = self._members()
        for _ in range(50):  # one that is just starting another may be quicker than the list
            for process in self._members():
                with suppress(Exception):
                    process.kill()
            if self.wait() is not None and not self._members():
                break
        return bool(left)

    def _ask(self) -> None:
        """What Ctrl-C would do in its own terminal."""
        with suppress(OSError, ValueError):
            if sys.platform == "win32":
                self._process.send_signal(signal.CTRL_BREAK_EVENT)
            else:
                os.killpg(self.pid, signal.SIGINT)

    def _terminate(self) -> None:
        for process in self._members():
            with suppress(Exception):
                process.terminate()

    def _look(self) -> None:
        """Note who belongs to the child now: one whose parent has died is not found from above later."""
        import psutil

        self._looked = time.monotonic()
        with suppress(psutil.Error):
            root = psutil.Process(self.pid)
            self._seen |= {one.pid: one for one in (root, *root.children(recursive=True))}
        if not _WINDOWS:
            mine = [pid for pid in psutil.pids() if pid not in self._seen and _session(pid) == self.pid]
            for pid in mine:
                with suppress(psutil.Error):
                    self._seen[pid] = psutil.Process(pid)

    def _members(self) -> list[psutil.Process]:
        """The processes of the child that still run, its root among them."""
        self._look()
        return [one for one in self._seen.values() if _runs(one)]


def end_foreign(pid: int, grace: float) -> None:
    """End a process that somebody else started, and all below it. Its parent collects its exit code."""
    import psutil

    try:
        root = psutil.Process(pid)
        tree = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    for process in tree:
        with suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(tree, timeout=grace)[1]:
        with suppress(psutil.Error):
            process.kill()


def _session(pid: int) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _runs(process: psutil.Process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
