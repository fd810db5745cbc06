"""A start, looked at from all sides before the trainer runs: the gate, its words, the state to go on from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tagflow.errors import TrainerError
from tagflow.training.machine.probe import probe
from tagflow.training.run_folder import PLAN, PlanFile, read_plan
from tagflow.training.sd_scripts.environment import find_sd_scripts, trainer_python
from tagflow.training.start.gate import Gate, evaluate_gate
from tagflow.training.start.launch import Launch, base_of, launch, versions
from tagflow.training.start.outcome import Output
from tagflow.training.start.record import Record, read_record
from tagflow.training.start.resume import Resume, plan_resume, read_state, states

NEWEST = "newest"
_NO_SD_SCRIPTS = "name its folder: --sd-scripts DIR, or the environment variable SD_SCRIPTS_DIR"


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What a user asks of a start. `resume`: a state's folder, NEWEST, or None for none."""

    sd_scripts: Path | None = None
    python: Path | None = None
    resume: str | None = None
    forced: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """A start that was looked at from all sides. `record`: the attempt as it will be written down."""

    run: Path
    gate: Gate
    launch: Launch
    record: Record
    output: Output
    audit: Path

    def refused(self) -> bool:
        """Whether it may not be: something stands against it, and no reason was given or none counts."""
        return self.gate.final() or bool(self.gate.refusals() and self.record.forced is None)


def prepare(run: Path, wish: StartRequest) -> Start:
    """Look at a run and settle how it would be started. Asks the trainer's Python; writes nothing.

    Raises TrainerError where sd-scripts, its Python, the run folder or the state cannot be used.
    """
    run = run.absolute()
    plan = read_plan(run)
    if plan.dataset is None or plan.dataset.audit is None:
        raise TrainerError(f"{run / PLAN} names no audit", "make the plan again: `tagflow train plan`")
    sd_scripts = find_sd_scripts(wish.sd_scripts or plan.sd_scripts)
    if sd_scripts is None:
        raise TrainerError(f"{run}: nobody said where sd-scripts is", _NO_SD_SCRIPTS)
    python = trainer_python(wish.python or plan.trainer_python, sd_scripts)
    machine = probe(python)
    gate = evaluate_gate(run, machine=machine)
    output = Output.of(gate.setup)
    resume = None if wish.resume is None else _resume(run, wish.resume, plan, output)
    words = resume.words if resume else ()
    start = launch(run, gate.setup, plan, python=python, sd_scripts=sd_scripts, resume=words)
    record = Record(
        command=start.command,
        cwd=str(start.folder),
        environment=start.environment,
        forced=wish.forced,
        overruled=tuple(sorted({fault.code for fault in gate.refusals()})) if wish.forced else (),
        resumed_from=str(resume.state.path) if resume else None,
        resume_note=resume.note if resume else None,
        step_offset=resume.step_offset if resume else 0,
        versions=versions(sd_scripts, machine),
        base=base_of(gate.setup.path("pretrained_model_name_or_path")),
        edits=gate.edits,
    )
    return Start(run, gate, start, record, output, plan.dataset.audit)


def _resume(run: Path, wanted: str, plan: PlanFile, output: Output) -> Resume:
    if wanted == NEWEST:
        found = states(output.folder, output.name)
        if not found:
            raise TrainerError(
                f"{output.folder}: no whole state to go on from",
                "start without --resume; a plan with save_state keeps states",
            )
        state = found[0]
    else:
        state = read_state(Path(wanted), named=True)
    known = read_record(run)
    return plan_resume(
        state,
        known.attempts if known else (),
        steps_per_epoch=plan.arithmetic.steps_per_epoch,
        accumulation=plan.arithmetic.accumulation,
        last=plan.arithmetic.steps,
    )
