"""The runs of a folder, told in a line each; open it for what `tagflow train list` knows of a run.

A run folder is one that holds plan.json. One that cannot be read is listed, too, with what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tagflow.errors import TrainerError
from tagflow.training.run_folder import PLAN, read_plan
from tagflow.training.start.record import read_record, settled


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run. `state`: that of its last attempt, `planned` before the first, or `damaged` (`reason`: why).

    `steps`: those planned; `seconds`: what its last attempt took, or has taken so far; None where that is not
    known. `changed`: its inputs changed while it was trained. `forced`: why it was started all the same.
    """

    run: Path
    state: str
    preset: str | None = None
    attempt: int = 0
    steps: int = 0
    started: str | None = None
    seconds: float | None = None
    lora: Path | None = None
    reason: str | None = None
    changed: bool = False
    forced: str | None = None


def summary_of(run: Path) -> RunSummary:
    """What is known of a run folder."""
    try:
        plan = read_plan(run)
        record = read_record(run)
    except TrainerError as problem:
        return RunSummary(run, "damaged", reason=problem.message)
    if record is None:
        return RunSummary(run, "planned", plan.preset, steps=plan.arithmetic.steps)
    record = settled(record)
    begun = None if record.started is None else datetime.fromisoformat(record.started)
    ended = datetime.fromisoformat(record.ended) if record.ended is not None else None
    if ended is None and record.state == "running":
        ended = datetime.now(UTC)
    return RunSummary(
        run,
        record.state,
        plan.preset,
        record.number,
        plan.arithmetic.steps,
        record.started,
        None if begun is None or ended is None else (ended - begun).total_seconds(),
        None if record.lora is None else Path(record.lora),
        record.reason,
        record.changed.doubtful,
        record.forced if record.overruled else None,
    )


def runs_of(folder: Path) -> Iterator[RunSummary]:
    """The runs of a dataset (in `DIR-runs` beside it), of a folder of runs, or of a run's own, by name."""
    beside = folder.with_name(f"{folder.name}-runs")
    for place in (folder, *sorted(folder.iterdir()), *(sorted(beside.iterdir()) if beside.is_dir() else ())):
        if (place / PLAN).is_file():
            yield summary_of(place)
