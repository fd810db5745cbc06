"""`tagflow train start` and `stop`; open it for their options, what they print and what they exit with.

The work is in training/start; how a start is told is in train_begin.py, several runs are in train_queue.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from tagflow.cli import output
from tagflow.cli.findings import exit_code
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER, collected
from tagflow.cli.train_begin import begin_one, existing, show, tell, whole
from tagflow.cli.train_queue import several
from tagflow.errors import DONE, UsageProblem
from tagflow.training.run_folder import RECORD_SCHEMA
from tagflow.training.start.detach import stop as end
from tagflow.training.start.detach import stop_after_save
from tagflow.training.start.prepare import NEWEST, Start, StartRequest, prepare
from tagflow.training.start.record import as_dict


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """What `tagflow train start` was asked. `resume`: a state's name, or NEWEST; None: begin anew."""

    runs: tuple[Path, ...]
    forced: str | None
    resume: str | None
    detached: bool
    stop_on: str | None
    dry_run: bool
    sd_scripts: Path | None
    trainer_python: Path | None
    as_json: bool


@command()
@click.argument("runs", metavar="RUN...", type=FOLDER, nargs=-1, required=True)
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
@click.option(
    "--stop-on",
    metavar="CODES",
    help="End the run after its next save once one of these alarms of `train monitor` is raised.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print the exact command, also without a trainer here; start nothing."
)
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
    once. If the terminal is closed it goes on. Several RUNs are trained one after another: each is looked at
    when its turn comes, one that is refused or fails is passed over, and one that has finished is left alone,
    so that the same command goes on where it was ended. Exit codes: 0 trained; 1 refused, or trained on files
    that changed after they were looked at, or ended for an alarm of --stop-on; 3 the trainer failed; 130
    interrupted.
    """
    forced = asked.forced
    if forced is not None and (not forced.strip() or forced.startswith("--")):  # click takes the next option
        raise UsageProblem("--force was given no reason", "say why: --force 'captions only respelled'")
    if asked.dry_run and asked.detached:
        raise UsageProblem("--dry-run starts nothing, --detach something", "use one of them")
    codes: tuple[str, ...] = ()
    if asked.stop_on is not None:
        from tagflow.training.monitor.alarms import alarm_codes

        codes = alarm_codes(asked.stop_on)
    wish = StartRequest(asked.sd_scripts, asked.trainer_python, asked.resume, forced, codes)
    if len(asked.runs) > 1:
        if asked.dry_run:
            raise UsageProblem("--dry-run shows the command of one run", "name one RUN")
        return several(asked.runs, wish, detached=asked.detached, as_json=asked.as_json)
    run = asked.runs[0]
    if asked.dry_run:
        return _would(prepare(run, wish, only_shown=True), as_json=asked.as_json)
    return begin_one(run, wish, detached=asked.detached, as_json=asked.as_json)


@command()
@click.argument("run", metavar="RUN", type=FOLDER)
@click.option(
    "--after-save",
    is_flag=True,
    help="Let it train until its next periodic save (a state, where the run saves states).",
)
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def stop(run: Path, *, after_save: bool, as_json: bool) -> int:
    """End the trainer of RUN in order, from wherever it was started. A run that has ended is left alone.

    With --after-save nothing that was trained is lost; the command does not wait for that save.
    """
    record = stop_after_save(existing(run)) if after_save else end(existing(run))
    if record is None:
        if as_json:
            output.as_json({"schema": RECORD_SCHEMA, "state": "planned"})
        output.note(f"{run}: was never started")
        return DONE
    if as_json:
        output.as_json(as_dict(record))
    tell(run, record, quiet=as_json)
    return DONE


def _would(start: Start, *, as_json: bool) -> int:
    faults = (*start.unseen, *start.gate.faults)
    show(faults, start.record)
    if as_json:
        facts = {**as_dict(start.record), "refused": start.refused()}
        output.as_json(whole(facts, faults))
    else:
        output.out(start.launch.shown())
        output.note(f"to be run in {start.launch.folder}")
    if start.refused():
        output.note("would be refused")
        return exit_code(start.gate.faults, strict=None)
    return DONE
