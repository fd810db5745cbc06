"""A run's record: what it did to which file, and how far it came. Read as untrusted."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from tagflow.errors import AuditError

RECORD = "tagflow.record/1"
State = Literal["writing", "written", "done", "undone", "rolled-back"]


@dataclass(frozen=True, slots=True)
class Change:
    """One file of a run: the digests of its bytes before and after."""

    path: str
    before: str
    after: str


@dataclass(slots=True)
class Record:
    """What one run did. `changes` names every caption it was going to replace, `undone` those given back."""

    run: str
    command: str
    state: State
    changes: list[Change] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)

    @property
    def stands(self) -> bool:
        """Whether the run came to its end and was not undone."""
        return self.state == "done"

    def to_undo(self) -> list[Change]:
        """The changes that still stand."""
        given_back = set(self.undone)
        return [change for change in self.changes if change.path not in given_back]


def new_run_id() -> str:
    """A name for a run that sorts by time."""
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f-") + secrets.token_hex(2)


def to_bytes(record: Record) -> bytes:
    """A record as it is written down."""
    return json.dumps({"schema": RECORD, **asdict(record)}, ensure_ascii=False, indent=1).encode()


def read_record(file: Path) -> Record:
    """Read a record. Raises AuditError where it is damaged or not ours."""
    try:
        data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        changes = [
            Change(_name(one["path"]), str(one["before"]), str(one["after"])) for one in data["changes"]
        ]
        if data["schema"] != RECORD or data["run"] != file.parent.name:
            raise ValueError("its schema or its run's name is not what it should be")
        if data["state"] not in get_args(State):
            raise ValueError(f"its state is {data['state']!r}")
        undone = [str(path) for path in data["undone"]]
        return Record(data["run"], str(data["command"]), data["state"], changes, undone)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
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
