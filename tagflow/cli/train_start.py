"""`tagflow train start` and `stop`; open it for their options, what they print and what they exit with.

The work is in training/start.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tagflow.cli import output
from tagflow.cli.findings import Report, as_object, exit_code, one_line, tell_beside
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER, collected
from tagflow.cli.output import screen
from tagflow.errors import DONE, FAILURE, FINDINGS, INTERRUPTED, UsageProblem
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many
from tagflow.training.run_folder import LOG, RECORD_SCHEMA
from tagflow.training.start.attempt import Busy, carry_out, locked
from tagflow.training.start.detach import detach
from tagflow.training.start.detach import stop as end
from tagflow.training.start.prepare import NEWEST, Start, StartRequest, prepare
from tagflow.training.start.record import Record, as_dict

_SCHEMA = "tagflow.train-start/2"
CODES = {"finished": DONE, "running": DONE, "interrupted": INTERRUPTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """What `tagflow train start` was asked. `resume`: a state's name, or NEWEST; None: begin anew."""

    run: Path
    forced: str | None
    resume: str | None
    detached: bool
    dry_run: bool
    sd_scripts: Path | None
    trainer_python: Path | None
    as_json: bool


@command()
@click.argument("run", metavar="RUN", type=FOLDER)
@click.option(
    "--force",
    "forced",
    metavar="REASON",
    help="Start although something stands against it; the reason goes into run.json.",
)
@click.option(
    "--resume",
    is_flag=False,
    flag_value=NEWEST,
    metavar="[STATE]",
    help="Go on from the newest saved state, or from this one.",
)
@click.option(
    "--detach",
    "detached",
    is_flag=True,
    help="Come back once the trainer runs; `tagflow train stop RUN` ends it.",
)
@click.option("--dry-run", is_flag=True, help="Print the exact command; start and write nothing.")
@click.option("--sd-scripts", type=FOLDER, metavar="DIR", help="Default: the plan's, else SD_SCRIPTS_DIR.")
@click.option(
    "--trainer-python",
    type=FOLDER,
    metavar="FILE",
    help="Default: the plan's, else that of a venv in or beside sd-scripts.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@collected(StartOptions)
def start(asked: StartOptions) -> int:
    """Start the trainer on RUN, if its dataset is certified and unchanged and the check is clean.

    What it prints goes to RUN/trainer.log and to this terminal. Ctrl-C ends it in order, a second one at
    once. If the terminal is closed it goes on. Exit codes: 0 trained; 1 refused, or trained on files that
    changed after they were looked at; 3 the trainer failed; 130 interrupted.
    """
    forced = asked.forced
    if forced is not None and (not forced.strip() or forced.startswith("--")):  # click takes the next option
        raise UsageProblem("--force was given no reason", "say why: --force 'captions only respelled'")
    if asked.dry_run and asked.detached:
        raise UsageProblem("--dry-run starts nothing, --detach something", "use one of them")
    wish = StartRequest(asked.sd_scripts, asked.trainer_python, asked.resume, forced)
    if asked.dry_run:
        return _would(prepare(asked.run, wish), as_json=asked.as_json)
    return begin(asked.run, wish, detached=asked.detached, as_json=asked.as_json)


@command()
@click.argument("run", metavar="RUN", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def stop(run: Path, *, as_json: bool) -> int:
    """End the trainer of RUN in order, from wherever it was started. A run that has ended is left alone."""
    record = end(_folder(run))
    if record is None:
        if as_json:
            output.as_json({"schema": RECORD_SCHEMA, "state": "planned"})
        output.note(f"{run}: was never started")
        return DONE
    _tell(run, record, None, as_json=as_json)
    return DONE


def begin(run: Path, wish: StartRequest, *, detached: bool = False, as_json: bool = False) -> int:
    """Start a run unless it is refused, and stay with it to its end (or, detached, until it runs)."""
    run = _folder(run)
    try:
        with locked(run):
            start = prepare(run, wish)
            _show(start.gate.faults, start.record)
            if start.refused():
                return _refused(run, start.gate.faults, as_json=as_json)
            if not detached:
                told = (start.run, start.record, start.output, start.audit, start.gate.inputs)
                record = carry_out(*told, progress=screen())
    except Busy as busy:
        fault = finding("another-running", busy.message)
        _show([fault])
        return _refused(run, [fault], as_json=as_json)
    if detached:
        record = detach(start.run, start.record, start.output, start.audit, start.gate.inputs)
    _tell(run, record, start.gate.faults, as_json=as_json)
    if record.state == "finished" and record.changed.doubtful:
        return FINDINGS
    return CODES.get(record.state, FAILURE)


def _folder(run: Path) -> Path:
    if not run.is_dir():
        raise UsageProblem(f"{run}: there is no such folder", "make a plan: `tagflow train plan DIR`")
    return run.absolute()


def _show(faults: Sequence[Finding], record: Record | None = None) -> None:
    """Everything that was found, worst first, each with its cure; and what overrules it."""
    tell_beside(faults)
    if record is not None and record.overruled:
        output.note(f"FORCED: {record.forced}")


def _refused(run: Path, faults: Sequence[Finding], *, as_json: bool) -> int:
    count = sum(fault.severity == "error" for fault in faults)
    output.note(f"{run}: not started, for {many(count, 'reason')}")
    if as_json:
        output.as_json(as_object(Report(_SCHEMA, tuple(faults), {"state": "refused"})))
    return exit_code(faults, strict=None)


def _would(start: Start, *, as_json: bool) -> int:
    _show(start.gate.faults, start.record)
    if as_json:
        facts = {**as_dict(start.record), "refused": start.refused()}
        output.as_json(_object(facts, start.gate.faults))
    else:
        output.out(start.launch.shown())
        output.note(f"to be run in {start.launch.folder}")
    if start.refused():
        output.note("would be refused")
        return exit_code(start.gate.faults, strict=None)
    return DONE


def _object(record: dict[str, Any], faults: Sequence[Finding]) -> dict[str, Any]:
    """A record as run.json has it, with what was found before the start."""
    facts = {name: value for name, value in record.items() if name != "schema"}
    return as_object(Report(_SCHEMA, tuple(faults), facts))


def _tell(run: Path, record: Record, faults: Sequence[Finding] | None, *, as_json: bool) -> None:
    """Tell how a run stands. `faults`: what was found before its start; None: nothing was looked for."""
    if as_json:
        output.as_json(as_dict(record) if faults is None else _object(as_dict(record), faults))
    else:
        doubt = ", of inputs that changed" if record.changed.doubtful else ""
        lines = [f"state       {record.state.upper()}{doubt} (attempt {record.number})"]
        if record.state == "running":
            lines.append(f"process     {record.pid} on {record.host}")
        if record.lora:
            lines.append(f"lora        {record.lora}")
        for line in (*lines, f"log         {run / LOG}"):
            output.out(output.visible(line))
    if record.changed.count:
        output.note(one_line(finding("inputs-changed", record.changed.told())))
    if record.reason:
        output.note(record.reason)
    if record.cure:
        output.note(f"cure: {record.cure}")
    name = shlex.quote(str(run))
    if record.state == "running":
        output.note(f"watch it: tagflow train monitor {name}; end it: tagflow train stop {name}")
    elif record.state != "finished" and record.newest_state is None:
        output.note("no state was saved: the next start begins anew")
    elif record.state != "finished":
        output.note(f"newest state: {record.newest_state}; go on: tagflow train start {name} --resume")
