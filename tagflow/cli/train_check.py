"""`tagflow train check`: what would stop or spoil a run of sd-scripts, before the model loads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagflow.cli import output
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER
from tagflow.errors import TrainerError, UsageProblem

if TYPE_CHECKING:
    from tagflow.findings.finding import Finding, Kind, Severity
    from tagflow.training.sd_scripts.options import Options
    from tagflow.training.setup.setup import Setup

_SCHEMA, _EXPLAINED = "tagflow.train-check/1", "tagflow.train-rules/1"
_DETAIL = 500  # characters of what was seen, in text; JSON has all of it


@command()
@click.argument("what", metavar="RUN | FILE.toml | -- COMMAND...", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--dataset",
    type=FOLDER,
    metavar="FILE.toml",
    help="The dataset file, where the configuration file names none.",
)
@click.option("--sd-scripts", type=FOLDER, metavar="DIR", help="Ask this copy for its own options.")
@click.option(
    "--trainer-python",
    type=FOLDER,
    metavar="FILE",
    help="The Python that sd-scripts runs in. Default: venv or .venv in sd-scripts, or beside it.",
)
@click.option("--explain", metavar="CODE", help="Say what a fault means; `all` lists the codes.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
def check(what: tuple[str, ...], *, explain: str | None, as_json: bool, strict: bool, **given: Any) -> int:
    """Find what would stop or spoil a run: of a run folder, of a file for --config_file, or of a command.

    A command comes last, behind `--`, in words or as one quoted text; relative paths in it count from the
    current folder. Nothing is started or written. Exit code 1: there are errors.
    """
    if explain is not None:
        if what:
            raise UsageProblem("--explain checks nothing", "give it a code alone")
        if as_json:
            output.as_json({"schema": _EXPLAINED, "rules": [asdict(kind) for kind in _kinds(explain)]})
        else:
            output.out_lines(_explained(explain))
        return 0
    setup = _looked_at(
        _setup(what, **given), sd_scripts=given["sd_scripts"], trainer_python=given["trainer_python"]
    )
    from tagflow.training.check.rules import faults_of

    faults = faults_of(setup)
    counts = Counter(fault.severity for fault in faults)
    if as_json:
        output.as_json(_object(setup, faults))
    else:
        output.out_lines(_lines(faults))
        output.out(_summary(counts, setup))
    return int(bool(counts["error"] or (strict and counts["warning"])))


def _setup(
    what: Sequence[str], *, dataset: Path | None, sd_scripts: Path | None, trainer_python: Path | None
) -> Setup:
    """What was named, read. Raises UsageProblem where it cannot be told what it is."""
    from tagflow.training.setup import read

    if not what:
        raise UsageProblem("nothing to check", "name a run folder, a TOML file, or a command behind `--`")
    options, words = _options(sd_scripts, trainer_python), _words(what)
    scripted = any(word.lower().endswith(".py") for word in words)
    if len(words) > 1 and not scripted and not any(word.startswith("-") for word in words):
        raise UsageProblem(f"{len(words)} things to check", "name one, or a command behind `--`")
    if len(words) > 1 or scripted:
        if dataset is not None:
            raise UsageProblem("--dataset is for a TOML file", "a command names its own: --dataset_config")
        return read.setup_of_command(words, Path.cwd(), options=options)
    path = Path(what[0])
    if path.is_dir():
        return read.setup_of_run(path, options=options)
    cure = "name one, or a command behind `--`"
    if path.suffix.lower() != ".toml" or not path.is_file():
        raise TrainerError(f"{path}: neither a run folder nor a TOML file", cure)
    if read.is_dataset(path):
        raise UsageProblem(
            f"{path} is a dataset file", "name the file for --config_file, and this one with --dataset"
        )
    return read.setup_of_toml(path, dataset, options=options)


def _words(what: Sequence[str]) -> list[str]:
    """The words as they came, or, where one text holds a script's name, out of that."""
    from tagflow.training.sd_scripts.command import split

    if len(what) > 1 or ".py" not in what[0].lower():
        return list(what)
    try:
        return split(what[0])
    except ValueError as problem:
        raise UsageProblem(f"the command cannot be taken apart: {problem}", "close its quotes") from problem


def _options(sd_scripts: Path | None, trainer_python: Path | None) -> Options | None:
    """The options of the copy that was named; None for those that tagflow knows."""
    if sd_scripts is None:
        return None
    from tagflow.training.machine.probe import options_of
    from tagflow.training.sd_scripts.environment import find_sd_scripts
    from tagflow.training.sd_scripts.environment import trainer_python as find_python

    found = find_sd_scripts(sd_scripts)
    return None if found is None else options_of(find_python(trainer_python, found), found)


def _looked_at(setup: Setup, *, sd_scripts: Path | None, trainer_python: Path | None) -> Setup:
    """The setup with what its files and the trainer's Python say; what was named must be there."""
    from tagflow.cli.output import Progress
    from tagflow.training.machine.probe import probe
    from tagflow.training.sd_scripts.environment import find_sd_scripts
    from tagflow.training.sd_scripts.environment import trainer_python as find_python
    from tagflow.training.setup.look import with_files

    named = (trainer_python, sd_scripts)
    planned = _planned(setup) if named == (None, None) else named
    try:
        machine = probe(find_python(planned[0], find_sd_scripts(planned[1])))
    except TrainerError as problem:
        if named != (None, None):
            raise
        output.note(f"the machine was not looked at: {problem.message}; {problem.cure}")
        machine = None
    progress = Progress()
    with progress.shown():
        return with_files(replace(setup, machine=machine), progress.progress("folders"))


def _planned(setup: Setup) -> tuple[Path | None, Path | None]:
    """The trainer's Python and sd-scripts as a run's plan names them."""
    from tagflow.training.run_folder import PlanFile, read_plan

    plan = read_plan(setup.folder) if setup.planned else PlanFile()
    return plan.trainer_python, plan.sd_scripts


def _lines(faults: Sequence[Finding]) -> Iterator[str]:
    for fault in faults:
        option = f" {fault.option}:" if fault.option else ""
        detail = fault.detail if len(fault.detail) <= _DETAIL else fault.detail[:_DETAIL] + "…"
        seen = f" ({detail})" if detail else ""
        line = f"{fault.severity}: {fault.code}:{option} {fault.kind.title}{seen}; cure: {fault.kind.cure}"
        yield output.visible(line)


def _summary(counts: Counter[Severity], setup: Setup) -> str:
    severities: tuple[Severity, ...] = ("error", "warning")
    found = ", ".join(f"{counts[one]} {one}{'s' * (counts[one] != 1)}" for one in severities)
    notes = f", {counts['info']} note{'s' * (counts['info'] != 1)}" if counts["info"] else ""
    unseen = "" if setup.subsets is not None else "; the dataset could not be looked at"
    return f"{found}{notes}{unseen}"


def _object(setup: Setup, faults: Sequence[Finding]) -> dict[str, Any]:
    return {
        "schema": _SCHEMA,
        "script": setup.script,
        "sd_scripts": setup.options.version,
        "machine": setup.machine is not None,
        "faults": [
            {
                "code": fault.code,
                "severity": fault.severity,
                "option": fault.option or None,
                "where": setup.given.get(fault.option),
                "title": fault.kind.title,
                "detail": fault.detail,
                "cure": fault.kind.cure,
            }
            for fault in faults
        ],
    }


def _explained(code: str) -> Iterator[str]:
    """All that is known of a code, or every code on a line."""
    import textwrap

    kinds = _kinds(code)
    if code == "all":
        yield from (f"{kind.code} ({kind.severity}): {kind.title}" for kind in kinds)
        return
    (kind,) = kinds
    yield from (f"{kind.code} ({kind.severity}): {kind.title}", "")
    yield from textwrap.wrap(kind.explanation, 100, break_long_words=False, break_on_hyphens=False)
    yield from ("", f"example: {kind.example}", f"cure: {kind.cure}")


def _kinds(code: str) -> list[Kind]:
    """What the catalogue says of a code, or of `all`. Raises UsageProblem for an unknown one."""
    from difflib import get_close_matches

    from tagflow.findings.catalogue import catalogue

    known = catalogue("options") | catalogue("gate")
    if code == "all":
        return list(known.values())
    if code not in known:
        near = get_close_matches(code, known, n=3, cutoff=0.5)
        cure = f"did you mean {', '.join(near)}?" if near else "`--explain all` lists the codes"
        raise UsageProblem(f"there is no fault {code!r}", cure)
    return [known[code]]
