"""What a growing file gets, handed on as it comes: how the terminal shows what the trainer writes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

_PAUSE = 0.1  # seconds; a progress bar moves no faster
_CHUNK = 1 << 16


class Follow:
    """Hands `show` every byte that is added to a file, from one thread, until the block ends.

    A `show` that raises OSError (the terminal was closed) is not called again; the file goes on growing.
    """

    def __init__(self, file: Path, start: int, show: Callable[[bytes], None]) -> None:
        self._file, self._at, self._show = file, start, show
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trainer-log", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._file.open("rb") as file:
                file.seek(self._at)
                ending = False
                while not ending:
                    ending = self._done.wait(_PAUSE)  # what came until then is still to be shown
                    while data := file.read(_CHUNK):
                        self._show(data)
        except OSError:
            return
