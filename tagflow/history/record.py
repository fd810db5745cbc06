"""A run's record: what it did to which file, and how far it came. Read as untrusted."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from tagflow.errors import AuditError

RECORD = "tagflow.record/1"
State = Literal["writing", "written", "done", "undoing", "undone", "rolled-back"]
CUT_OFF: frozenset[State] = frozenset({"writing", "written", "undoing"})
"""States that a record has only while a command is at work: what is found in them was cut off."""

_STAMP = "%Y%m%d-%H%M%S-%f-"


@dataclass(frozen=True, slots=True)
class Change:
    """One file of a run: the digests of its bytes before and after. `before` empty: there was no file."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Aside:
    """An edit that a forced undo replaced, kept among the originals."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ClearedCache:
    """A trainer's cache that `--clear-caches` removed; the trainer makes it anew. `size` in bytes."""

    path: str
    size: int
    sha256: str


@dataclass(slots=True)
class Record:
    """What one run did. `changes` names every caption it was going to replace, `undone` those given back.

    `aside`: the edits that undoing it by force replaced. `caches`: the trainer's caches that it removed.
    `pruned`: its originals were given up on request, so it cannot be undone any more.
    """

    run: str
    command: str
    state: State
    changes: list[Change] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    verdict: str = ""
    aside: list[Aside] = field(default_factory=list)
    caches: list[ClearedCache] = field(default_factory=list)
    pruned: bool = False

    @property
    def stands(self) -> bool:
        """Whether the run came to its end and was not undone, or not wholly."""
        return self.state in ("done", "undoing")

    @property
    def time(self) -> datetime | None:
        """When the run began to write, UTC; None where its name does not tell."""
        return _time(self.run)

    def to_undo(self) -> list[Change]:
        """The changes that still stand and can be taken back; what `--out` made is a copy and stays."""
        given_back = set(self.undone)
        standing = [change for change in self.changes if change.before and change.path not in given_back]
        return [] if self.pruned else standing

    def digests(self) -> set[str]:
        """The originals that this record speaks of."""
        return {change.before for change in self.changes if change.before} | {
            one.sha256 for one in self.aside
        }


def new_run_id(last: str = "") -> str:
    """A name for a run that sorts by time, and after `last`: a clock that was set back reorders no runs."""
    now, newest = datetime.now(UTC), _time(last)
    if newest is not None:
        now = max(now, newest + timedelta(microseconds=1))
    return now.strftime(_STAMP) + secrets.token_hex(2)


def _time(run: str) -> datetime | None:
    try:
        return datetime.strptime(run[:-4], _STAMP).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def to_bytes(record: Record) -> bytes:
    """A record as it is written down."""
    return json.dumps({"schema": RECORD, **asdict(record)}, ensure_ascii=False, indent=1).encode()


def read_record(file: Path) -> Record:
    """Read a record. Raises AuditError where it is damaged or not ours."""
    try:
        data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if data["schema"] != RECORD or data["run"] != file.parent.name:
            raise ValueError("its schema or its run's name is not what it should be")
        if data["state"] not in get_args(State):
            raise ValueError(f"its state is {data['state']!r}")
        return Record(
            data["run"],
            str(data["command"]),
            data["state"],
            [Change(_name(one["path"]), str(one["before"]), str(one["after"])) for one in data["changes"]],
            [str(path) for path in data["undone"]],
            str(data.get("verdict", "")),
            [Aside(str(one["path"]), str(one["sha256"])) for one in data.get("aside", ())],
            [
                ClearedCache(str(one["path"]), int(one["size"]), str(one["sha256"]))
                for one in data.get("caches", ())
            ],
            data.get("pruned", False) is True,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AuditError(f"{file}: not a run record ({error})", "move this run's folder away") from error


def _name(path: Any) -> str:
    """A path as a record may name it. Raises ValueError where no file can have it."""
    text = str(path)
    if "\0" in text or not text:
        raise ValueError(f"{text!r} is no path")
    return text.encode().decode()  # UnicodeEncodeError, a ValueError, for half a surrogate pair


def standing_runs(records: Sequence[Record]) -> list[Record]:
    """The runs that were not undone, newest first."""
    return [record for record in reversed(records) if record.stands]
