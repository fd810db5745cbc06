"""`run.json`: what became of a run, attempt by attempt. Written whole or not at all, read as untrusted.

The file says of the last attempt what `attempts` says of each. `running` is only as true as its process: a
machine that lost its power leaves it behind, so who reads it asks :func:`settled`.
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tagflow.errors import TrainerError
from tagflow.files.replace import write_and_move
from tagflow.training.run_folder import RECORD, RECORD_SCHEMA

STATES = ("planned", "running", "finished", "failed", "interrupted", "killed")
_TRIES, _PAUSE = 20, 0.05  # Windows refuses to replace a file while another process reads it
_SAME = 2.0  # seconds by which two readings of one process's start may differ


@dataclass(frozen=True, slots=True)
class Record:
    """One attempt to train. Times are UTC, ISO 8601; paths are absolute, texts.

    `state`: finished: a LoRA was made; failed: the trainer did not make one; interrupted: it was told to end;
    killed: it was ended by force, or with the machine. `pid`, `pid_created` (seconds since 1970): the
    process at the root of the trainer; `host`: where. `supervisor`: the same of the tagflow that watches it.
    `forced`: the reason given for a start that was refused, and `overruled` what it was refused for.
    `resumed_from`: the state folder it began with, `resume_note` how; `step_offset`: optimizer steps done
    before those that sd-scripts counts, which begins at 0 anew. `log_from`, `log_to`: bytes of trainer.log.
    `edits`: values in train.toml that are not the plan's. `folder`: copies of all it was started with.
    """

    number: int = 0
    state: str = "planned"
    command: tuple[str, ...] = ()
    cwd: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    pid: int | None = None
    pid_created: float | None = None
    host: str = ""
    supervisor: dict[str, Any] = field(default_factory=dict)
    started: str | None = None
    ended: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    cure: str | None = None
    forced: str | None = None
    overruled: tuple[str, ...] = ()
    resumed_from: str | None = None
    resume_note: str | None = None
    step_offset: int = 0
    log_from: int = 0
    log_to: int | None = None
    newest_state: str | None = None
    lora: str | None = None
    versions: dict[str, Any] = field(default_factory=dict)
    base: dict[str, Any] = field(default_factory=dict)
    edits: tuple[dict[str, Any], ...] = ()
    folder: str | None = None
    earlier: tuple[Record, ...] = ()

    @property
    def attempts(self) -> tuple[Record, ...]:
        """Every attempt, this one last."""
        return (*self.earlier, self)


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,), "str": (str,), "tuple[str, ...]": (list,), "dict[str, str]": (dict,),
    "dict[str, Any]": (dict,), "int | None": (int, type(None)), "float | None": (int, float, type(None)),
    "str | None": (str, type(None)), "tuple[dict[str, Any], ...]": (list,),
}  # fmt: skip


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_record(run: Path) -> Record | None:
    """The last attempt in a run folder; None before the first. Raises TrainerError for a damaged file."""
    file = run / RECORD
    try:
        data = json.loads(file.read_bytes())
        if not isinstance(data, dict) or data.get("schema") != RECORD_SCHEMA:
            raise ValueError(f"its schema is not {RECORD_SCHEMA}")
        attempts = [_attempt(one) for one in data["attempts"]]
        return replace(attempts[-1], earlier=tuple(attempts[:-1]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError) as problem:
        raise TrainerError(
            f"{file}: not a record of this tagflow ({problem})", "move it away; trainer.log has what was said"
        ) from problem


def _attempt(data: dict[str, Any]) -> Record:
    """One attempt, its types checked; what a later tagflow may have added is left out."""
    given: dict[str, Any] = {}
    for one in fields(Record):
        if one.name == "earlier" or one.name not in data:
            continue
        value = data[one.name]
        if not isinstance(value, _TYPES[str(one.type)]) or isinstance(value, bool):
            raise ValueError(f"its {one.name} is {str(value)[:40]!r}")
        given[one.name] = tuple(value) if isinstance(value, list) else value
    if given.get("state") not in STATES:
        raise ValueError(f"its state is {str(given.get('state'))[:40]!r}")
    return Record(**given)


def as_dict(record: Record) -> dict[str, Any]:
    """What run.json says: the attempt itself, and all attempts."""
    attempts = [
        {name: value for name, value in asdict(replace(one, earlier=())).items() if name != "earlier"}
        for one in record.attempts
    ]
    return {"schema": RECORD_SCHEMA, **attempts[-1], "attempts": attempts}


def write_record(run: Path, record: Record) -> None:
    """Put a record in its place, whole. Raises OSError; the old one is then as it was."""
    data = (json.dumps(as_dict(record), ensure_ascii=False, indent=1) + "\n").encode()
    for left in reversed(range(_TRIES)):
        try:
            write_and_move(run / f".{RECORD}.new", data, run / RECORD)
            return
        except PermissionError:
            if not left:
                raise
            time.sleep(_PAUSE)


def host() -> str:
    """What this machine is called."""
    return platform.node()


def process_of(pid: int) -> dict[str, Any]:
    """A process so that it can be told from a later one of the same number."""
    import psutil

    return {"pid": pid, "created": psutil.Process(pid).create_time(), "host": host()}


def alive(pid: int | None, created: float | None) -> bool:
    """Whether a process of this machine still runs, and is the same one."""
    import psutil

    if pid is None or created is None:
        return False
    try:
        found = psutil.Process(pid)
        return abs(found.create_time() - created) < _SAME and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # it is there, and not ours to look at
        return True


def settled(record: Record) -> Record:
    """The record, put right where it says `running` and its process on this machine is gone."""
    if record.state != "running" or record.host != host() or alive(record.pid, record.pid_created):
        return record
    if alive(record.supervisor.get("pid"), record.supervisor.get("created")):
        return record  # its end is just being written down
    why = "the trainer is gone and nobody saw its end: tagflow, or the machine, was ended before it"
    return replace(record, state="killed", reason=why, cure="look at the end of trainer.log, then --resume")
