"""`tagflow train doctor`; open it for its options and its report.

What is looked at on a machine is in training/doctor.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from tagflow.cli import output
from tagflow.cli.findings import FindingOptions, Report, chosen, exit_code, finding_options, tell
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER, collected
from tagflow.cli.output import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions(FindingOptions):
    """What `tagflow train doctor` was asked. None: as the run has it, or as it is found."""

    run: Path | None
    trainer_python: Path | None
    sd_scripts: Path | None
    base: Path | None
    vae: Path | None
    deep: bool


@command()
@click.argument("run", type=FOLDER, required=False)
@click.option(
    "--trainer-python",
    type=FOLDER,
    metavar="FILE",
    help="The Python that sd-scripts runs in. Default: venv or .venv in sd-scripts, or beside it.",
)
@click.option(
    "--sd-scripts",
    type=FOLDER,
    metavar="DIR",
    help="Default: the variable SD_SCRIPTS_DIR, or what the run's plan names.",
)
@click.option("--base", type=FOLDER, metavar="FILE", help="The checkpoint. Default: the run's.")
@click.option("--vae", type=FOLDER, metavar="FILE", help="A VAE of its own. Default: the run's.")
@click.option(
    "--deep", is_flag=True, help="Load sd-scripts' script, too, and read every number of the models: minutes."
)
@finding_options
@collected(DoctorOptions)
def doctor(asked: DoctorOptions) -> int:
    """Say whether this machine can run the plan in the run folder RUN; without one, whether it can train.

    First what was looked at and is well, then what is not, with its cure. Exit code 1: the plan cannot run as
    it stands.
    """
    from tagflow.training.doctor.examine import DoctorRequest, examine

    progress = Progress()
    with progress.shown():
        show = progress.progress("MB of the models") if asked.deep else lambda done, total: None
        found = examine(
            DoctorRequest(
                asked.run, asked.trainer_python, asked.sd_scripts, asked.base, asked.vae, asked.deep
            ),
            note=output.note,
            progress=lambda done, total: show(done // 10**6, total // 10**6),
        )
    findings = chosen((line.found for line in found.lines if line.found is not None), asked)
    ready = all(one.severity != "error" for one in findings)
    what = "a run" if asked.run is None else str(asked.run)
    subject = output.visible(f"{what} can start here" if ready else f"{what} cannot start here")
    well, machine = [line for line in found.lines if line.state == "ok"], found.machine
    facts = {
        "run": None if asked.run is None else str(asked.run),
        "ready": ready,
        "sd_scripts": None if found.sd_scripts is None else str(found.sd_scripts),
        "trainer_python": None if found.python is None else str(found.python),
        "machine": None if machine is None else {**asdict(machine), "python": str(machine.python)},
        "looked_at": [{"check": line.check, "seen": line.seen} for line in well],
    }
    width = max((len(line.check) for line in well), default=0)
    before = [output.visible(f"ok  {line.check:<{width}}  {line.seen}") for line in well]
    tell(Report("tagflow.doctor/2", findings, facts, subject, once=True), asked, before=before)
    return exit_code(findings, strict=asked.strict)
