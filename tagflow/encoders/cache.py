"""The cache of vectors; open it when a second run encodes what the first did, or its file is called damaged.

What the encoders made of lines in earlier runs lies in one SQLite file of the user's, `vectors-1.sqlite`. The
file may be lost, damaged, full or in use at any time; then the run encodes what it needs and says so once. A
digest beside each value covers key and value, for SQLite has no checksums. Rows are gathered and written in
short transactions, so that two processes hardly wait for each other, and a process that is killed loses about
a second of work. The journal is a rollback journal, not WAL: home directories lie on network file systems,
where WAL's shared memory does not work, and new pages are written once, not to a log first.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

TABLE = (
    "CREATE TABLE vectors (key BLOB PRIMARY KEY NOT NULL, used INTEGER NOT NULL, digest BLOB NOT NULL, "
    "value BLOB NOT NULL)"
)
INDEX = "CREATE INDEX oldest ON vectors (used)"
PROBE = "SELECT digest, value FROM vectors WHERE key = ?"
APPLICATION = 0x7467_666C  # "tgfl", the `application_id` of SQLite's header
PAGE = 4096  # bytes; of rows of 20 to 250 kB 3 % of the file is not vectors, with pages of 32 kB 15 %
PATIENCE = 10.0  # seconds to wait for another process's transaction
SLACK, AT_ONCE = 20, 64  # who makes room makes a twentieth of the limit more; rows deleted by a statement
FAULTS = (sqlite3.Error, UnicodeError)  # the latter where SQLite's message quotes a damaged file
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Foreign(sqlite3.DatabaseError):
    """The file is a database, but not of vectors."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, made anew where there is none. Raises one of FAULTS; Foreign for another table."""
    base = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    try:
        base.text_factory = bytes  # a damaged row may say that it is text, and is then no UTF-8
        base.execute(f"PRAGMA page_size = {PAGE}")
        base.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if _application(base) != APPLICATION:
            _create(base)
        base.execute("PRAGMA journal_mode = TRUNCATE")  # a file that stays is cheaper than one made anew
        base.execute("PRAGMA synchronous = NORMAL")
        found = base.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        if sorted(found) != sorted([(INDEX.encode(),), (TABLE.encode(),)]):  # a damaged one can be another
            raise Foreign("its table is not that of vectors")
    except BaseException:
        base.close()
        raise
    return base


def _create(base: sqlite3.Connection) -> None:
    """Make the table in a new file, unless another process was quicker."""
    with transaction(base):
        if _application(base) == APPLICATION:
            return
        if base.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            raise Foreign("it is another program's database")
        base.execute(TABLE)
        base.execute(INDEX)
        base.execute(f"PRAGMA application_id = {APPLICATION}")


def _application(base: sqlite3.Connection) -> int:
    (number,) = base.execute("PRAGMA application_id").fetchone()
    return int(number)


@contextmanager
def transaction(base: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing, also on Ctrl-C. Raises one of FAULTS, after PATIENCE where another one writes."""
    base.execute("BEGIN IMMEDIATE")
    try:
        yield
        base.execute("COMMIT")
    except BaseException:
        with suppress(*FAULTS):  # some errors have ended the transaction already
            base.execute("ROLLBACK")
        raise


def is_damage(error: Exception) -> bool:
    """Say whether the file is no database, a broken one, or another program's."""
    return (
        isinstance(error, (Foreign, UnicodeError)) or getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED
    )


def is_gone(error: Exception, path: Path) -> bool:
    """Say whether the open file is not the one at `path` any more: SQLite then calls it read-only."""
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_DBMOVED:
        return True
    with suppress(OSError):  # a folder that may not be searched any more
        return not path.exists()
    return False


def set_aside(path: Path) -> Path:
    """Rename a damaged file and return its new name. Raises OSError.

    A process that has it open cannot write to it any more: SQLite looks whether its file is still there.
    """
    aside = path.with_name(f"{path.name}.damaged")  # one name: what is set aside must not pile up
    path.replace(aside)
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    return aside


def cost(value: bytes) -> int:
    """The bytes of file that a row takes at most: overflow pages, its share of a leaf and of the indices."""
    return (len(value) // (PAGE - 4) + 2) * PAGE


def make_room(base: sqlite3.Connection, needed: int, limit: int, run: int) -> int:
    """Return the bytes that are free below `limit`, after rows went for `needed`; longest unused ones first.

    No row that `run` used goes for a new one: a folder larger than the cache would else push out each row
    before it is read again, and nothing would ever be found.
    """
    if _taken(base) + needed > limit:
        goal = limit - needed - limit // SLACK
        while _taken(base) > goal and _forget(base, "used != ?", run):
            pass
        while _taken(base) > limit and _forget(base, "used = ?", run):  # the limit was lowered
            pass
    return limit - _taken(base)


def shrink(base: sqlite3.Connection, limit: int) -> None:
    """Give back free pages above `limit`, which may have been lowered; those below it are used again."""
    (pages,) = base.execute("PRAGMA page_count").fetchone()
    if (over := pages - limit // PAGE) > 0:
        base.executescript(f"PRAGMA incremental_vacuum({over:d})")  # `execute` would end it after one page


def _taken(base: sqlite3.Connection) -> int:
    """The bytes of file in use; pages that rows left are free."""
    (pages,) = base.execute("PRAGMA page_count").fetchone()
    (free,) = base.execute("PRAGMA freelist_count").fetchone()
    return int(pages - free) * PAGE


def _forget(base: sqlite3.Connection, which: str, run: int) -> int:
    """Delete some of the rows used longest ago and return their number; `which`: a condition on `run`."""
    chosen = f"SELECT key FROM vectors WHERE {which} ORDER BY used LIMIT {AT_ONCE}"  # noqa: S608 - no input
    return base.execute(f"DELETE FROM vectors WHERE key IN ({chosen})", (run,)).rowcount  # noqa: S608 - as above


FILE = "vectors-1.sqlite"  # the number is the table's: a tagflow with another table has another file
EVERY, ROOM = 1.0, 32 << 20  # write after so many seconds, or when so many bytes wait


class VectorCache:
    """At most `limit` bytes of file; what runs used longest ago goes first. A key has 32 bytes.

    A context manager: leaving it writes what waits, also on Ctrl-C. No method raises for the file's sake:
    what goes wrong is told to `warn`, once.
    """

    def __init__(self, path: Path, limit: int, warn: Callable[[str], None]) -> None:
        self._path, self._limit, self._warn = path, limit, warn
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
                self._warn(f"{self._path}: {lost}")
            else:
                self._warn(f"{self._path}: {error}; what this run encodes is not kept")
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
            self._warn(f"{self._path}: {error}; set aside as {set_aside(self._path).name}")
        return connect(self._path)

    def _off(self, error: Exception) -> None:
        """Go on without the cache."""
        self._close()
        self._warn(f"{self._path}: {error}; this run goes on without the cache of vectors")
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
