"""`tagflow train list DIR`; open it for the table of runs.

What a run is told by is in training/start/listing.py.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click

from tagflow.cli import output
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER
from tagflow.errors import DONE, UsageProblem
from tagflow.findings.wording import many
from tagflow.training.start.listing import RunSummary, runs_of

_SCHEMA = "tagflow.train-list/1"


@command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def list_runs(folder: Path, *, as_json: bool) -> int:
    """List the training runs of DIR: a dataset, a folder of runs, or one run.

    A dataset's runs are those in DIR-runs beside it.
    """
    if not folder.is_dir():
        raise UsageProblem(f"{folder}: there is no such folder", "check the path")
    found = list(runs_of(folder.absolute()))
    if as_json:
        rows = [{**asdict(one), "run": str(one.run), "lora": one.lora and str(one.lora)} for one in found]
        output.as_json({"schema": _SCHEMA, "runs": rows})
        return DONE
    if not found:
        output.note(f"{folder}: no run was planned here; `tagflow train plan {folder}` plans one")
    for one in found:
        output.out_lines(output.visible(line) for line in _lines(one))
    return DONE


def _lines(one: RunSummary) -> list[str]:
    """One run: its name, how it stands, and below that what there is of it."""
    facts = [many(one.steps, "step")] if one.steps else []
    if one.started is not None:
        facts.append(f"attempt {one.attempt}, {one.started[:16].replace('T', ' ')}")
    if one.seconds is not None:
        facts.append(f"took {timedelta(seconds=round(one.seconds))}")
    if one.forced is not None:
        facts.append(f"FORCED: {one.forced}")
    doubt = ", of inputs that changed" if one.changed else ""
    lines = [f"{one.state:<12}{one.run.name}{doubt}"]
    lines += [f"  {', '.join(facts)}"] if facts else []
    lines += [f"  {one.lora}"] if one.lora is not None else []
    return [*lines, f"  {one.reason}"] if one.reason else lines
