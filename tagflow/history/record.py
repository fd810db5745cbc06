"""A run's record.json: what it did to which file, and how far it came; open it for a field or a state."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from tagflow.errors import AuditError
from tagflow.files.read import NewerFile, read_json

RECORD = "tagflow.record/1"
State = Literal["writing", "written", "done", "undoing", "undone", "rolled-back"]
CUT_OFF: frozenset[State] = frozenset({"writing", "written", "undoing"})
"""States that a record has only while a command is at work: what is found in them was cut off."""

_STAMP = "%Y%m%d-%H%M%S-%f-"
_END = datetime(9000, 1, 1, tzinfo=UTC)
"""A name that tells a later time was made up, and tells none: no run could come after it."""


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
    `pruned`: its originals were given up on request, so it cannot be undone any more. `images`: those that
    `--images` put beside the captions, linked or copied from the folder `source`. `overtaken`: it changed
    nothing and stands, but an older run was undone since, so its audit is of texts that are gone.
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
    images: list[str] = field(default_factory=list)
    source: str = ""
    overtaken: bool = False

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
            edit.sha256 for edit in self.aside
        }


def new_run_id(last: str = "") -> str:
    """A name for a run that sorts by time, and after `last`: a clock that was set back reorders no runs.

    Raises OverflowError where no time is left after it.
    """
    now, newest = datetime.now(UTC), _time(last)
    if newest is not None:
        now = max(now, newest + timedelta(microseconds=1))
    if now >= _END:
        raise OverflowError(f"no run can come after {last!r}")
    return now.strftime(_STAMP) + secrets.token_hex(2)


def sorts(run: str) -> tuple[datetime, str]:
    """A sort key of runs' names: by time. One that tells none is older than all that do."""
    return _time(run) or datetime.min.replace(tzinfo=UTC), run


def _time(run: str) -> datetime | None:
    try:
        time = datetime.strptime(run[:-4], _STAMP).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return time if time < _END else None


def to_bytes(record: Record) -> bytes:
    """A record as it is written down."""
    return json.dumps({"schema": RECORD, **asdict(record)}, ensure_ascii=False, indent=1).encode()


def read_record(file: Path) -> Record:
    """Read a record. Raises AuditError where it is damaged, not ours, or a newer tagflow's."""
    try:
        record = read_json(file.read_bytes(), Record, RECORD)
        if record.run != file.parent.name:
            raise ValueError(f"it is of another run, {record.run[:60]!r}")
        if not all(change.path for change in record.changes):
            raise ValueError("a change has no path")
    except NewerFile as error:
        raise AuditError(
            f"{file}: {error}", "install that tagflow, or move this run's folder away"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise AuditError(f"{file}: not a run record ({error})", "move this run's folder away") from error
    return record


def standing_runs(records: Sequence[Record]) -> list[Record]:
    """The runs that were not undone, newest first."""
    return [record for record in reversed(records) if record.stands]
