"""`tagflow train stop`: ask a run to end, from another terminal or another machine that sees its folder.

A file in the run folder is the word; the tagflow that watches the trainer looks for it. So it works where
signals do not (Windows, another machine). Where that tagflow is gone the trainer is ended from here.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from tagflow.errors import TrainerError
from tagflow.training.attempt import STOP
from tagflow.training.outcome import Output
from tagflow.training.process import GRACE, end_foreign
from tagflow.training.read import read_plan, setup_of_run
from tagflow.training.record import Record, alive, host, now, read_record, settled, write_record
from tagflow.training.resume import states

_PAUSE, _MORE = 0.2, 20.0  # seconds: between two looks, and for writing down the end


def stop(run: Path) -> Record | None:
    """End the trainer of a run; gives the record afterwards, None where it was never started.

    A run that has ended already is left as it is. Raises TrainerError where nobody answers, and for what is
    no run folder: whoever named the wrong one must not believe that the trainer has ended.
    """
    record = read_record(run)
    if record is None:
        read_plan(run)
    record = None if record is None else settled(record)
    if record is None or record.state != "running":
        return record and _with_state(run, record)
    watcher = record.supervisor
    if record.host == host() and not alive(watcher.get("pid"), watcher.get("created")):
        return _ended_from_here(run, record)
    (run / STOP).touch()
    deadline = time.monotonic() + GRACE + _MORE
    while time.monotonic() < deadline:
        time.sleep(_PAUSE)
        seen = read_record(run)
        if seen is None or settled(seen).state != "running":
            return seen and settled(seen)
    (run / STOP).unlink(missing_ok=True)
    raise TrainerError(f"{run}: the trainer on {record.host} has not ended", "end it there")


def _ended_from_here(run: Path, record: Record) -> Record:
    if record.pid is not None:
        end_foreign(record.pid, GRACE)
    why = "ended by tagflow train stop; the tagflow that watched it was gone"
    record = _with_state(run, replace(record, state="interrupted", ended=now(), reason=why))
    write_record(run, record)
    return record


def _with_state(run: Path, record: Record) -> Record:
    """The record with the newest state, where nobody was left to write it down."""
    if record.newest_state is not None:
        return record
    output = Output.of(setup_of_run(run))
    newest = next(iter(states(output.folder, output.name)), None)
    return replace(record, newest_state=None if newest is None else str(newest.path))
