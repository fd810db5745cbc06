"""`run.json`, a run told attempt by attempt; open it to read or change what is kept of an attempt.

The file is written whole or not at all, and says of the last attempt what `attempts` says of each. A machine
that lost its power leaves `running` behind, so whoever reads the file asks :func:`settled`.
"""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from msgspec import UNSET, Meta, UnsetType

from tagflow.errors import TrainerError
from tagflow.files.replace import write_and_move
from tagflow.findings.wording import many, some
from tagflow.training.run_folder import RECORD, RECORD_SCHEMA, Written, from_json, to_json, to_object

AUDIT = "audit.parquet"
"""The copy of the dataset's audit in an attempt's folder."""

InputKind = Literal["caption", "image", "settings", "base"]
Moment = Literal["begun", "ended"]
State = Literal["planned", "running", "finished", "failed", "interrupted", "killed"]
_TOLD = 5  # paths in a message
_TRIES, _PAUSE = 20, 0.05  # Windows refuses to replace a file while another process reads it
_SAME = 2.0  # seconds by which two readings of one process's start may differ


class Process(TypedDict, total=False):
    """A process so that it can be told from a later one of the same number. `created`: seconds since 1970."""

    pid: int
    created: float
    host: str


class Versions(TypedDict, total=False):
    """What took part: tagflow, sd-scripts, and the trainer's Python where it was asked."""

    tagflow: str
    sd_scripts: str
    sd_scripts_commit: str | None
    python: str
    platform: str
    packages: dict[str, str]
    cuda: str | None
    gpus: list[str]


class Base(TypedDict, total=False):
    """The checkpoint. `sample_sha256`: over its size and samples of it; `sha256`: as sd-scripts took it."""

    path: str
    size: int
    sample_sha256: str
    sha256: str


class Edit(TypedDict):
    """A value in train.toml that is not the plan's; None where one of them has none."""

    name: str
    planned: Written
    now: Any


class Change(TypedDict):
    """An input that is not what it was. `seen`: at which look; `before`, `now`: digests, None where there was
    no file, and empty for an image, of which only its being there is known."""

    path: str
    kind: InputKind
    seen: Moment
    before: str | None
    now: str | None


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What has changed since the gate looked. `looked`: when it did so again.

    `count`: of all changes, of which `changes` names the first hundred; `untrained`: how many of them came
    after the trainer had read its inputs.
    """

    looked: tuple[Moment, ...] = ()
    count: int = 0
    untrained: int = 0
    changes: tuple[Change, ...] = ()

    @property
    def doubtful(self) -> bool:
        """Whether something else may have been trained than what the gate saw."""
        return self.count > self.untrained

    def told(self) -> str:
        """All of it in words; empty where nothing has changed."""
        if not self.count:
            return ""
        how_many = many(self.count, "input has", "inputs have")
        when = "after the trainer had begun"
        if self.doubtful:
            when = f"{self.count - self.untrained} of them early enough to be trained"
        paths = some([one["path"] for one in self.changes], _TOLD)
        return f"{how_many} changed since the gate looked, {when}: {paths}"


@dataclass(frozen=True, slots=True)
class Stop:
    """An end after the next save. `on`: the alarms (codes of findings) that it is to come for.

    `why`: who asked, or what was seen; None while nothing was. `alarm`: which of the alarms it was.
    """

    on: tuple[str, ...] = ()
    why: str | None = None
    alarm: str | None = None


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
    `meanwhile`: what has changed since the gate looked; UNSET where nobody looked again. `stop`: whether it
    is to end after its next save; UNSET where nobody asked.
    """

    number: int = 0
    state: State = "planned"
    command: tuple[str, ...] = ()
    cwd: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    pid: int | None = None
    pid_created: float | None = None
    host: str = ""
    supervisor: Process = field(default_factory=Process)
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
    versions: Versions = field(default_factory=Versions)
    base: Base = field(default_factory=Base)
    edits: tuple[Edit, ...] = ()
    folder: str | None = None
    meanwhile: Meanwhile | UnsetType = UNSET
    stop: Stop | UnsetType = UNSET
    earlier: tuple[Record, ...] = ()

    @property
    def changed(self) -> Meanwhile:
        """What has changed meanwhile; nothing where nobody looked again."""
        return Meanwhile() if isinstance(self.meanwhile, UnsetType) else self.meanwhile

    @property
    def stopping(self) -> Stop:
        """Whether it is to end after its next save; nothing of the kind where nobody asked."""
        return Stop() if isinstance(self.stop, UnsetType) else self.stop

    @property
    def attempts(self) -> tuple[Record, ...]:
        """Every attempt, this one last."""
        return (*self.earlier, self)


@dataclass(frozen=True, slots=True)
class _RunFile:
    """What run.json holds; what it says beside `attempts` is what the last of them says."""

    attempts: Annotated[tuple[Record, ...], Meta(min_length=1)]


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_record(run: Path) -> Record | None:
    """The last attempt in a run folder; None before the first.

    Raises TrainerError for a damaged file, or one of a newer tagflow.
    """
    file, cure = run / RECORD, "move it away; trainer.log has what was said"
    try:
        attempts = from_json(file.read_bytes(), _RunFile, RECORD_SCHEMA, file, cure).attempts
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise TrainerError(f"{file}: {problem.strerror or problem}", cure) from problem
    return replace(attempts[-1], earlier=attempts[:-1])


def as_dict(record: Record) -> dict[str, Any]:
    """What run.json says: the attempt itself, and all attempts."""
    attempts = [to_object(replace(one, earlier=())) for one in record.attempts]
    for one in attempts:
        del one["earlier"]  # they stand side by side in the file
    return {"schema": RECORD_SCHEMA, **attempts[-1], "attempts": attempts}


def write_record(run: Path, record: Record) -> None:
    """Put a record in its place, whole. Raises OSError; the old one is then as it was."""
    data = to_json(as_dict(record)).encode()
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


def process_of(pid: int) -> Process:
    """What tells a process of this machine that runs. Raises psutil.NoSuchProcess."""
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
