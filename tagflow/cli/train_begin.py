"""One start of the trainer, told as it goes; open it for what is said of a run, and its exit code.

`train start`, its queue and `run --train` begin a run here.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagflow.cli import output
from tagflow.cli.findings import Report, as_object, exit_code, one_line, tell_beside
from tagflow.cli.output import screen
from tagflow.errors import DONE, FAILURE, FINDINGS, INTERRUPTED, UsageProblem
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many
from tagflow.training.run_folder import LOG
from tagflow.training.start.attempt import Busy, carry_out, locked
from tagflow.training.start.detach import detach
from tagflow.training.start.prepare import StartRequest, prepare
from tagflow.training.start.record import Record, as_dict

_SCHEMA = "tagflow.train-start/2"
CODES = {"finished": DONE, "running": DONE, "interrupted": INTERRUPTED}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a start ended. `state`: that of the record, `refused`, or `stopped` for an alarm of --stop-on.

    `told`: what --json prints of it.
    """

    code: int
    state: str
    told: dict[str, Any]


def begin_one(run: Path, wish: StartRequest, *, detached: bool, as_json: bool) -> int:
    """Start one run; one that another tagflow is at work in is refused. Gives the exit code."""
    try:
        ended = begin(run, wish, detached=detached, quiet=as_json)
    except Busy as busy:
        fault = finding("another-running", busy.message)
        show([fault])
        ended = refused(run, [fault])
    if as_json:
        output.as_json(ended.told)
    return ended.code


def begin(run: Path, wish: StartRequest, *, detached: bool = False, quiet: bool = False) -> Ended:
    """Start a run unless it is refused, and stay with it to its end (or, detached, until it runs).

    `quiet`: nothing on stdout. Raises Busy where another tagflow is at work in the run folder.
    """
    run = existing(run)
    with locked(run):
        start = prepare(run, wish)
        faults = start.gate.faults
        if wish.stop_on:
            from tagflow.training.monitor.alarms import Alarms, check_alarms

            check_alarms(start.gate.setup, periodic=start.output.periodic)
        show(faults, start.record)
        if start.refused():
            return refused(run, faults)
        if not detached:
            told = (start.run, start.record, start.output, start.audit, start.gate.inputs)
            alarm = Alarms(run, wish.stop_on) if wish.stop_on else None
            record = carry_out(*told, progress=screen(), alarm=alarm)
    if detached:
        record = detach(start.run, start.record, start.output, start.audit, start.gate.inputs)
    tell(run, record, quiet=quiet)
    code = CODES.get(record.state, FAILURE)
    if record.state == "finished" and record.changed.doubtful:
        code = FINDINGS
    state: str = record.state
    if state == "interrupted" and record.stopping.alarm is not None:  # a queue goes on
        code, state = FINDINGS, "stopped"
    return Ended(code, state, whole(as_dict(record), faults))


def refused(run: Path, faults: Sequence[Finding]) -> Ended:
    """A start that may not be, for what was found; says so."""
    count = sum(fault.severity == "error" for fault in faults)
    output.note(f"{run}: not started, for {many(count, 'reason')}")
    told = as_object(Report(_SCHEMA, tuple(faults), {"state": "refused"}))
    return Ended(exit_code(faults, strict=None), "refused", told)


def existing(run: Path) -> Path:
    """The run's absolute path. Raises UsageProblem where there is no such folder."""
    if not run.is_dir():
        raise UsageProblem(f"{run}: there is no such folder", "make a plan: `tagflow train plan DIR`")
    return run.absolute()


def show(faults: Sequence[Finding], record: Record | None = None) -> None:
    """Everything that was found, worst first, each with its cure; and what overrules it."""
    tell_beside(faults)
    if record is not None and record.overruled:
        output.note(f"FORCED: {record.forced}")


def whole(record: dict[str, Any], faults: Sequence[Finding]) -> dict[str, Any]:
    """A record as run.json has it, with what was found before the start."""
    facts = {name: value for name, value in record.items() if name != "schema"}
    return as_object(Report(_SCHEMA, tuple(faults), facts))


def tell(run: Path, record: Record, *, quiet: bool) -> None:
    """Tell how a run stands; `quiet`: nothing on stdout."""
    doubt = ", of inputs that changed" if record.changed.doubtful else ""
    lines = [f"state       {record.state.upper()}{doubt} (attempt {record.number})"]
    if record.state == "running":
        lines.append(f"process     {record.pid} on {record.host}")
    if record.lora:
        lines.append(f"lora        {record.lora}")
    for line in (*lines, f"log         {run / LOG}") if not quiet else ():
        output.out(output.visible(line))
    if record.changed.count:
        output.note(one_line(finding("inputs-changed", record.changed.told())))
    if record.reason:
        output.note(record.reason)
    elif record.stopping.why and record.state == "running":
        output.note(f"it ends after its next save: {record.stopping.why}")
    if record.cure:
        output.note(f"cure: {record.cure}")
    name = shlex.quote(str(run))
    if record.state == "running":
        output.note(f"watch it: tagflow train monitor {name}; end it: tagflow train stop {name}")
    elif record.state != "finished" and record.newest_state is None:
        output.note("no state was saved: the next start begins anew")
    elif record.state != "finished":
        output.note(f"newest state: {record.newest_state}; go on: tagflow train start {name} --resume")
