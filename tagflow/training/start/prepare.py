"""A start before the trainer runs; open it for the words with which accelerate and the script are called.

It also asks the gate, and finds the state to go on from. accelerate fills what it was not told from the
user's own default configuration, which may say several GPUs or another precision; so all of that is said, and
a configuration of ours is named, for nothing on its command line says `one process, no plugin`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import UNSET

from tagflow import __version__
from tagflow.errors import TrainerError
from tagflow.findings.finding import Finding, finding
from tagflow.training.machine.probe import Machine, probe
from tagflow.training.run_folder import PLAN, TRAIN, PlanFile, read_plan
from tagflow.training.sd_scripts.environment import (
    find_sd_scripts,
    sd_scripts_commit,
    sd_scripts_version,
    trainer_python,
)
from tagflow.training.sd_scripts.schedulers import classes_of
from tagflow.training.setup.read import setup_of_run
from tagflow.training.setup.setup import Setup
from tagflow.training.start.attempt import ACCELERATE
from tagflow.training.start.gate import Gate, evaluate_gate
from tagflow.training.start.inputs import sample_of
from tagflow.training.start.outcome import Output
from tagflow.training.start.record import Base, Record, Stop, Versions, read_record
from tagflow.training.start.resume import Resume, State, plan_resume, read_state, saved_by, states

NEWEST = "newest"
_THREADS = 8  # more help no data loader, and take cores from it
_NO_SD_SCRIPTS = "name its folder: --sd-scripts DIR, or the environment variable SD_SCRIPTS_DIR"

# The environment of a trainer, over the user's own. Its output is shown while it comes (PYTHONUNBUFFERED). It
# speaks Japanese, too, which a file in a Windows code page cannot take (PYTHONIOENCODING). Its logger breaks
# lines at 80 columns where it sees no terminal, and we look for words in them (COLUMNS).
_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:backslashreplace", "COLUMNS": "160"}


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What a user asks of a start. `resume`: a state's folder, NEWEST, or None for none.

    `stop_on`: the alarms of `train monitor`, by their codes, that end the run after its next save.
    """

    sd_scripts: Path | None = None
    python: Path | None = None
    resume: str | None = None
    forced: str | None = None
    stop_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Launch:
    """A trainer about to start. `folder`: where it runs, sd-scripts' own, for it imports from there."""

    command: tuple[str, ...]
    folder: Path
    environment: dict[str, str]

    def shown(self) -> str:
        """The command as one would type it in the folder, with this system's quotes."""
        return subprocess.list2cmdline(self.command) if os.name == "nt" else shlex.join(self.command)


@dataclass(frozen=True, slots=True)
class Start:
    """A start that was looked at from all sides. `record`: the attempt as it will be written down.

    `unseen`: what could not be looked at, of a start that is only shown.
    """

    run: Path
    gate: Gate
    launch: Launch
    record: Record
    output: Output
    audit: Path
    unseen: tuple[Finding, ...] = ()

    def refused(self) -> bool:
        """Whether it may not be: something stands against it, and no reason was given or none counts."""
        return self.gate.final() or bool(self.gate.refusals() and self.record.forced is None)


def prepare(run: Path, wish: StartRequest, *, only_shown: bool = False) -> Start:
    """Look at a run and settle how it would be started. Asks the trainer's Python; writes nothing.

    only_shown: the command is only to be seen, so a trainer that is on another machine is not missed.
    Raises TrainerError where sd-scripts, its Python, the run folder or the state cannot be used.
    """
    run = run.absolute()
    plan = read_plan(run)
    if plan.dataset is None or plan.dataset.audit is None:
        raise TrainerError(f"{run / PLAN} names no audit", "make the plan again: `tagflow train plan`")
    unseen: list[Finding] = []
    sd_scripts, python, machine = None, None, None
    try:
        sd_scripts = find_sd_scripts(wish.sd_scripts or plan.sd_scripts)
        if sd_scripts is None:
            raise TrainerError(f"{run}: nobody said where sd-scripts is", _NO_SD_SCRIPTS)
        python = trainer_python(wish.python or plan.trainer_python, sd_scripts)
        machine = probe(python, classes_of(setup_of_run(run).values), folder=sd_scripts)
    except TrainerError as problem:
        if not only_shown or wish.python is not None or wish.sd_scripts is not None:
            raise
        unseen.append(finding("trainer-not-asked", problem.message, cure=problem.cure))
    gate = evaluate_gate(run, machine=machine, sd_scripts=sd_scripts)
    output = Output.of(gate.setup)
    resume = None if wish.resume is None else _resume(run, wish.resume, plan, output)
    words = resume.words if resume else ()
    start = launch(
        run, gate.setup, plan, python=python or plan.trainer_python or Path("python"),
        sd_scripts=sd_scripts or plan.sd_scripts or Path("sd-scripts"), resume=words,
    )  # fmt: skip
    record = Record(
        command=start.command,
        cwd=str(start.folder),
        environment=start.environment,
        forced=wish.forced,
        overruled=tuple(sorted({fault.code for fault in gate.refusals()})) if wish.forced else (),
        resumed_from=str(resume.state.path) if resume else None,
        resume_note=resume.note if resume else None,
        step_offset=resume.step_offset if resume else 0,
        versions={"tagflow": __version__} if sd_scripts is None else versions(sd_scripts, machine),
        base=base_of(gate.setup.path("pretrained_model_name_or_path")),
        edits=gate.edits,
        stop=Stop(wish.stop_on) if wish.stop_on else UNSET,
    )
    return Start(run, gate, start, record, output, plan.dataset.audit, tuple(unseen))


def own_states(record: Record | None, output: Output) -> list[State]:
    """The whole states that attempts of a run saved, newest first."""
    found = states(output.folder, output.name) if record is not None else []
    return [one for one in found if record is not None and saved_by(record, one)]


def _resume(run: Path, wanted: str, plan: PlanFile, output: Output) -> Resume:
    known = read_record(run)
    if wanted == NEWEST:
        own = own_states(known, output)
        if not own:
            found = states(output.folder, output.name)
            raise TrainerError(
                f"{output.folder}: no whole state of this run to go on from"
                + (f"; {found[0].path.name} was saved while no attempt of it ran" if found else ""),
                "name a state that you trust: --resume STATE" if found
                else "start without --resume; a plan with save_state keeps states",
            )  # fmt: skip
        state = own[0]
    else:
        state = read_state(Path(wanted), named=True)
    return plan_resume(
        state,
        known.attempts if known else (),
        steps_per_epoch=plan.arithmetic.steps_per_epoch,
        accumulation=plan.arithmetic.accumulation,
        last=plan.arithmetic.steps,
    )


def launch(
    run: Path,
    setup: Setup,
    plan: PlanFile,
    *,
    python: Path,
    sd_scripts: Path,
    resume: Sequence[str] = (),
) -> Launch:
    """How the trainer of a run folder is started. `resume`: further words for the script."""
    threads = plan.value("launch", "num_cpu_threads_per_process")
    if not isinstance(threads, int):
        threads = max(1, min(_THREADS, os.cpu_count() or 1))
    command = (
        str(python), "-m", "accelerate.commands.launch",
        "--config_file", str(ACCELERATE),
        "--num_processes", "1", "--num_machines", "1", "--dynamo_backend", "no",
        "--mixed_precision", setup.text("mixed_precision") or "no",
        "--num_cpu_threads_per_process", str(threads),
        str(sd_scripts / setup.script),
        "--config_file", str((run / TRAIN).absolute()),
        *resume,
    )  # fmt: skip
    return Launch(command, sd_scripts, dict(_ENVIRONMENT))


def versions(sd_scripts: Path, machine: Machine | None) -> Versions:
    """What took part: tagflow, sd-scripts with its commit, the trainer's Python and its main packages."""
    found: Versions = {
        "tagflow": __version__,
        "sd_scripts": sd_scripts_version(sd_scripts),
        "sd_scripts_commit": sd_scripts_commit(sd_scripts),
    }
    if machine is not None:
        packages = {name: version for name, version in machine.packages.items() if version is not None}
        found |= {
            "python": machine.python_version,
            "platform": machine.platform,
            "packages": packages,
            "cuda": machine.cuda,
            "gpus": [gpu.name for gpu in machine.gpus],
        }
    return found


def base_of(path: Path | None) -> Base:
    """The checkpoint: path, bytes, and a digest of samples; sd-scripts writes that of all into the LoRA."""
    if path is None or not path.is_file():
        return {} if path is None else {"path": str(path)}
    return {"path": str(path), "size": path.stat().st_size, "sample_sha256": sample_of(path)}
