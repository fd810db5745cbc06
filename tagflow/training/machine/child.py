"""A small program run to its end, or for no longer than its time: questions to other Pythons and drivers.

The trainer itself is run by start/process.py.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tagflow.errors import TrainerError

_MOST = 16 << 20  # bytes of output that are kept, from its end


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. `code`: as subprocess has it, negative for a signal; None: it ran out of time."""

    code: int | None
    out: str
    err: str


def run_command(words: Sequence[str], seconds: float, folder: Path | None = None) -> Ended:
    """Run a program to its end, or until the seconds are over; then it and its children are killed.

    `folder`: where it runs; the current one by default.

    Its output goes to files, so a grandchild that lives on cannot hold us up. Raises TrainerError where the
    program cannot be started.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            child = subprocess.Popen(  # noqa: S603 - an argument list, no shell
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder
            )
        except OSError as error:
            cure = "name another, or mend its permissions"
            raise TrainerError(f"{words[0]} cannot be run: {error.strerror or error}", cure) from error
        code = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = child.wait(seconds)
        finally:
            if code is None:
                _kill(child)
        return Ended(code, _read(out), _read(err))


def _kill(child: subprocess.Popen[bytes]) -> None:
    import psutil

    with suppress(psutil.Error):
        for one in psutil.Process(child.pid).children(recursive=True):
            with suppress(psutil.Error):
                one.kill()
    child.kill()
    child.wait()


def _read(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, 2) - _MOST))
    return file.read().decode("utf-8", errors="replace")
