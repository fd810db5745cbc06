"""Runs without a terminal: `--detach` and `train stop`; open it for what two processes say to each other.

`python -m tagflow.training.supervise RUN` is the tagflow that stays: it gets the attempt as JSON on stdin,
says in a line on stdout that the trainer runs (or why not), lets go of the terminal, and adds what goes wrong
to trainer.log. To end it, a file is put into the run folder, which works where signals do not (Windows,
another machine).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tagflow.errors import FAILURE, TagflowError, TrainerError
from tagflow.training.run_folder import LOG, RECORD_SCHEMA, check_run, from_json, to_json
from tagflow.training.setup.read import setup_of_run
from tagflow.training.start.after_save import REQUEST, Alarm
from tagflow.training.start.attempt import STOP, carry_out, locked
from tagflow.training.start.inputs import Inputs
from tagflow.training.start.outcome import Output
from tagflow.training.start.process import GRACE, end_foreign
from tagflow.training.start.record import Record, alive, host, now, read_record, settled, write_record
from tagflow.training.start.resume import states

QUEUE_LOG = "train-queue.log"
_PAUSE, _MORE = 0.2, 20.0  # seconds: between two looks, and for writing down the end


@dataclass(frozen=True, slots=True)
class DetachedAttempt:
    """What the tagflow that stays behind is told on stdin. Version 0.1 wrote the same, without `inputs`."""

    record: Record
    output: Output
    audit: Path
    inputs: Inputs = field(default_factory=Inputs)


def _flags() -> int:
    """How a process is made that no terminal ends."""
    if sys.platform == "win32":  # a console that is not seen: a trainer without one cannot be asked to end
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0


def detach_queue(runs: Sequence[Path], words: Sequence[str]) -> tuple[int, Path]:
    """Leave several runs to a tagflow of its own. Gives its process number, and where it writes what it says.

    `words`: further options of `tagflow train start`.
    """
    log = runs[0].parent / QUEUE_LOG
    command = [sys.executable, "-m", "tagflow", "train", "start", *map(str, runs), *words]
    with log.open("ab") as said:
        child = subprocess.Popen(  # noqa: S603  tagflow itself, in a list, no shell
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
            creationflags=_flags(),
        )  # fmt: skip
    return child.pid, log


def detach(run: Path, record: Record, output: Output, audit: Path, inputs: Inputs) -> Record:
    """Leave the attempt to a tagflow of its own and come back once the trainer runs. Raises TrainerError."""
    with (run / LOG).open("ab") as log:
        child = subprocess.Popen(  # noqa: S603  tagflow itself, in a list, no shell
            [sys.executable, "-m", "tagflow.training.supervise", str(run)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log, start_new_session=True, creationflags=_flags(),
        )  # fmt: skip
    if child.stdin is None or child.stdout is None:
        raise AssertionError("both are pipes")
    with child.stdin, child.stdout:
        child.stdin.write(to_json(DetachedAttempt(record, output, audit, inputs)).encode())
        child.stdin.close()
        said = child.stdout.readline()
    begun = read_record(run)
    if said.strip() != b"running" or begun is None:
        message, _, cure = said.decode(errors="replace").strip().partition("\t")
        raise TrainerError(message or f"{run}: the trainer was not started", cure or f"see {run / LOG}")
    return begun


def _let_go(record: Record) -> None:
    """Say that it runs, then hold nothing of the terminal's any more."""
    os.write(1, b"running\n")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nothing, stream)


def supervise(alarms: Callable[[Path, Sequence[str]], Alarm]) -> int:
    """The program that stays. Exit code 3 where the attempt could not be carried out.

    `alarms`: makes, of a run and the codes that it is to end for, what says whether one of them was raised.
    """
    try:
        run, cure = Path(sys.argv[1]), "start it with `tagflow train start RUN --detach`"
        attempt = from_json(
            sys.stdin.buffer.read(), DetachedAttempt, RECORD_SCHEMA, "the attempt on stdin", cure
        )
        record = attempt.record
        alarm = alarms(run, record.stopping.on) if record.stopping.on else None
        with locked(run):
            carry_out(run, record, attempt.output, attempt.audit, attempt.inputs, begun=_let_go, alarm=alarm)
    except TagflowError as problem:
        os.write(1, f"{problem.message}\t{problem.cure}\n".encode())
        return problem.exit_code
    except OSError as problem:
        where = f"{os.fsdecode(problem.filename)}: " if problem.filename is not None else ""
        os.write(1, f"{where}{problem.strerror or problem}\tcheck the permissions and the disk\n".encode())
        return FAILURE
    return 0


def stop(run: Path) -> Record | None:
    """End the trainer of a run; gives the record afterwards, None where it was never started.

    A run that has ended already is left as it is. Raises TrainerError where nobody answers, and for what is
    no run folder: whoever named the wrong one must not believe that the trainer has ended.
    """
    record = _last(run)
    if record is None or record.state != "running":
        return record and _with_state(run, record)
    watcher = record.supervisor
    if record.host == host() and not alive(watcher.get("pid"), watcher.get("created")):
        if record.pid is not None:
            end_foreign(record.pid, GRACE)
        why = "ended by tagflow train stop; the tagflow that watched it was gone"
        record = _with_state(run, replace(record, state="interrupted", ended=now(), reason=why))
        write_record(run, record)
        return record
    (run / STOP).touch()
    deadline = time.monotonic() + GRACE + _MORE
    while time.monotonic() < deadline:
        time.sleep(_PAUSE)
        seen = read_record(run)
        if seen is None or settled(seen).state != "running":
            return seen and settled(seen)
    (run / STOP).unlink(missing_ok=True)
    raise TrainerError(f"{run}: the trainer on {record.host} has not ended", "end it there")


def stop_after_save(run: Path) -> Record | None:
    """Have the tagflow that watches a run end it after its next periodic save; it is not waited for.

    Gives the record, None where the run was never started; one that has ended is left as it is. Raises
    TrainerError where nothing is saved before its end, and where nobody is there to see the save.
    """
    record = _last(run)
    if record is None or record.state != "running" or record.stopping.why is not None:
        return record
    now_instead = "`tagflow train stop RUN` ends it now"
    if not Output.of(setup_of_run(run)).periodic:
        raise TrainerError(f"{run}: it saves nothing before its end", f"let it finish; {now_instead}")
    watcher = record.supervisor
    if record.host == host() and not alive(watcher.get("pid"), watcher.get("created")):
        raise TrainerError(
            f"{run}: the tagflow that watched it is gone, so nobody would see the save",
            f"wait until output/ has a new state; then {now_instead}",
        )
    (run / REQUEST).touch()
    deadline = time.monotonic() + _MORE
    while time.monotonic() < deadline:
        time.sleep(_PAUSE)
        seen = read_record(run)
        if seen is None or seen.stopping.why is not None or settled(seen).state != "running":
            return seen and settled(seen)
    (run / REQUEST).unlink(missing_ok=True)
    raise TrainerError(f"{run}: the tagflow on {record.host} that watches it has not answered", now_instead)


def _last(run: Path) -> Record | None:
    """The last attempt as it stands now; None before the first. Raises TrainerError for no run folder."""
    record = read_record(run)
    if record is None:
        check_run(run)
        return None
    return settled(record)


def _with_state(run: Path, record: Record) -> Record:
    """The record with the newest state, where nobody was left to write it down."""
    if record.newest_state is not None:
        return record
    output = Output.of(setup_of_run(run))
    newest = next(iter(states(output.folder, output.name)), None)
    return replace(record, newest_state=None if newest is None else str(newest.path))
