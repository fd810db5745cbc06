"""What the encoders made of lines in earlier runs: values by key, in one file of the user's cache directory.

The file may be lost, damaged, full or in use at any time; then the run encodes what it needs and says so
once. A value is its own proof: the digest beside it covers key and value, for SQLite has no checksums.
Rows are gathered and written in short transactions, so that two processes hardly wait for each other, and a
process that is killed loses about a second of work.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tagflow.encoders.cache_file import (
    FAULTS,
    PROBE,
    connect,
    cost,
    is_damage,
    is_gone,
    make_room,
    set_aside,
    shrink,
    transaction,
)

FILE = "vectors-1.sqlite"  # the number is the table's: a tagflow with another table has another file
EVERY, ROOM = 1.0, 32 << 20  # write after so many seconds, or when so many bytes wait


class VectorCache:
    """At most `limit` bytes of file; what runs used longest ago goes first. A key has 32 bytes.

    A context manager: leaving it writes what waits, also on Ctrl-C. No method raises for the file's sake:
    what goes wrong is told to `say`, once.
    """

    def __init__(self, path: Path, limit: int, say: Callable[[str], None]) -> None:
        self._path, self._limit, self._say = path, limit, say
        self._base: sqlite3.Connection | None = None
        self._run = time.time_ns()
        self._pending: dict[bytes, bytes] = {}
        self._used: set[bytes] = set()
        self._unsound: set[bytes] = set()
        self._writes = True
        self._written = time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = self._opened()
        except (OSError, *FAULTS) as error:
            self._off(error)

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()
        if self._base is not None and self._writes:
            with suppress(*FAULTS):  # a file that is too large for now is no harm
                shrink(self._base, self._limit)
        self._close()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values that are there and sound, by key."""
        found: dict[bytes, bytes] = {}
        try:
            for key in keys:
                value = self._pending.get(key) or self._read(key)
                if value is not None:
                    found[key] = value
        except FAULTS as error:
            self._off(error)
        return found

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values; they are in the file about a second later, or when the cache is left."""
        if self._base is None or not self._writes:
            return
        self._pending.update(values)
        waiting = sum(map(len, self._pending.values()))
        if waiting >= ROOM or time.monotonic() - self._written >= EVERY:
            self._write()

    def _read(self, key: bytes) -> bytes | None:
        row = None if self._base is None else self._base.execute(PROBE, (key,)).fetchone()
        if row is None:
            return None
        digest, value = row
        if not isinstance(value, bytes) or digest != _digest(key, value):
            self._unsound.add(key)
            return None
        self._used.add(key)
        return value

    def _write(self) -> None:
        """Write what waits. What fails is not tried again in this run: a full disk stays full."""
        if self._base is None or not (self._writes and (self._pending or self._used or self._unsound)):
            return
        try:
            with transaction(self._base):
                self._change(self._base)
        except FAULTS as error:
            self._writes = False
            if is_damage(error):
                self._off(error)
            elif is_gone(error, self._path):
                lost = "the file was removed while in use; what this run encodes from now on is not kept"
                self._say(f"{self._path}: {lost}")
            else:
                self._say(f"{self._path}: {error}; what this run encodes is not kept")
        self._pending.clear()
        self._used.clear()
        self._unsound.clear()
        self._written = time.monotonic()

    def _change(self, base: sqlite3.Connection) -> None:
        base.executemany("DELETE FROM vectors WHERE key = ?", ((key,) for key in sorted(self._unsound)))
        used = ((self._run, key) for key in sorted(self._used))
        base.executemany("UPDATE vectors SET used = ? WHERE key = ?", used)
        room = make_room(base, sum(map(cost, self._pending.values())), self._limit, self._run)
        for key, value in self._pending.items():
            room -= cost(value)
            if room < 0:
                break
            row = (key, self._run, _digest(key, value), value)
            base.execute("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?)", row)

    def _opened(self) -> sqlite3.Connection:
        """Return the file's connection; a file that is damaged or another program's is set aside first."""
        try:
            return connect(self._path)
        except FAULTS as error:
            if not is_damage(error):
                raise
            self._say(f"{self._path}: {error}; set aside as {set_aside(self._path).name}")
        return connect(self._path)

    def _off(self, error: Exception) -> None:
        """Go on without the cache."""
        self._close()
        self._say(f"{self._path}: {error}; this run goes on without the cache of vectors")
        if is_damage(error):
            with suppress(OSError):  # it is tried again by the next run
                set_aside(self._path)

    def _close(self) -> None:
        base, self._base = self._base, None
        if base is not None:
            with suppress(*FAULTS):
                base.close()


def _digest(key: bytes, value: bytes) -> bytes:
    return hashlib.sha256(key + value).digest()
