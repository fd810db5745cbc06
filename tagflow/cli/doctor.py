"""`tagflow train doctor`: whether this machine can train, or run a plan, and what cures it if not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagflow.cli import output
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER

if TYPE_CHECKING:
    from tagflow.training.doctor.examine import Diagnosis, DoctorRequest, State

_SCHEMA = "tagflow.doctor/1"


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
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
def doctor(run: Path | None, *, as_json: bool, strict: bool, **given: Any) -> int:
    """Say whether this machine can run the plan in the run folder RUN; without one, whether it can train.

    Each line is one thing that was looked at, with what was seen and what cures it. Exit code 1: the plan
    cannot run as it stands.
    """
    from tagflow.training.doctor.examine import DoctorRequest

    found = _examined(DoctorRequest(run=run, **given))
    counts = Counter(line.state for line in found.lines)
    if as_json:
        output.as_json(_object(run, found))
    else:
        output.out_lines(_lines(found))
        output.out(_summary(run, counts))
    return int(bool(counts["error"] or (strict and counts["warning"])))


def _examined(asked: DoctorRequest) -> Diagnosis:
    from tagflow.cli.output import Progress
    from tagflow.training.doctor.examine import examine

    progress = Progress()
    with progress.shown():
        tell = progress.progress("MB of the models") if asked.deep else lambda done, total: None
        return examine(
            asked, note=output.note, progress=lambda done, total: tell(done // 10**6, total // 10**6)
        )


def _lines(found: Diagnosis) -> Iterator[str]:
    width = max(len(line.check) for line in found.lines)
    for line in found.lines:
        code = f" [{line.code}]" if line.code else ""
        yield output.visible(f"{line.state:<8}{line.check:<{width}}  {line.seen}{code}")
        if line.cure and line.state != "info":
            yield output.visible(f"{'':<8}{'':<{width}}  cure: {line.cure}")


def _summary(run: Path | None, counts: Counter[State]) -> str:
    what = f"{run} can" if run is not None else "a run can"
    verdict = f"{what}not start here" if counts["error"] else f"{what} start here"
    severities: tuple[State, ...] = ("error", "warning")
    found = ", ".join(f"{counts[one]} {one}{'s' * (counts[one] != 1)}" for one in severities)
    return output.visible(f"{verdict}: {found}")


def _object(run: Path | None, found: Diagnosis) -> dict[str, Any]:
    machine = found.machine
    return {
        "schema": _SCHEMA,
        "run": None if run is None else str(run),
        "ready": all(line.state != "error" for line in found.lines),
        "sd_scripts": None if found.sd_scripts is None else str(found.sd_scripts),
        "trainer_python": None if found.python is None else str(found.python),
        "machine": None if machine is None else {**asdict(machine), "python": str(machine.python)},
        "lines": [{**asdict(line), "explanation": line.explanation} for line in found.lines],
    }
