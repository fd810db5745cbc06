"""`tagflow train check`; open it for what it can be given, and how a finding gets its file and line.

It says what would stop or spoil a run of sd-scripts before the model loads; the rules are in training/check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagflow.cli.findings import FindingOptions, Report, chosen, exit_code, finding_options, tell
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER, collected
from tagflow.errors import TrainerError, UsageProblem

if TYPE_CHECKING:
    from tagflow.findings.finding import Finding
    from tagflow.training.check.registry import Need
    from tagflow.training.sd_scripts.options import Options
    from tagflow.training.setup.setup import Setup

_SCHEMA = "tagflow.train-check/2"
_LARGEST = 4 * 1024 * 1024  # bytes; no settings are larger


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainCheckOptions(FindingOptions):
    """What `tagflow train check` was asked. `what`: a run folder, a TOML file, or the words of a command."""

    what: tuple[str, ...]
    dataset: Path | None
    sd_scripts: Path | None
    trainer_python: Path | None
    explain: str | None


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
@finding_options
@click.option("--explain", metavar="CODE", help="The same as `tagflow rule CODE`; `all` lists the codes.")
@collected(TrainCheckOptions)
def check(asked: TrainCheckOptions) -> int:
    """Find what would stop or spoil a run: of a run folder, of a file for --config_file, or of a command.

    A command comes last, behind `--`, in words or as one quoted text; relative paths in it count from the
    current folder. Nothing is started or written. Exit code 1: there are errors; 4: a rule crashed.
    """
    if asked.explain is not None:
        if asked.what:
            raise UsageProblem("--explain checks nothing", "give it a code alone")
        from tagflow.cli.rule import show

        show(None if asked.explain == "all" else asked.explain, as_json=asked.format == "json")
        return 0
    asked = replace(asked, form=asked.format)  # refuses two formats before the work
    chosen((), asked)  # refuses unknown codes before the work
    setup, unknown = _looked_at(_setup(asked), asked)
    from tagflow.training.check.rules import faults_of

    found = chosen(_placed(setup, faults_of(setup, unknown)), asked)
    facts = {
        "script": setup.script,
        "sd_scripts": setup.options.version,
        "machine": setup.machine is not None,
    }
    tell(Report(_SCHEMA, found, facts), asked)
    return exit_code(found, strict=asked.strict)


def _setup(asked: TrainCheckOptions) -> Setup:
    """What was named, read. Raises UsageProblem where it cannot be told what it is."""
    from tagflow.training.setup import read

    if not asked.what:
        raise UsageProblem("nothing to check", "name a run folder, a TOML file, or a command behind `--`")
    options, words = _options(asked.sd_scripts, asked.trainer_python), list(asked.what)
    scripted = any(".py" in word.lower() for word in words)
    if len(words) > 1 and not scripted and not any(word.startswith("-") for word in words):
        raise UsageProblem(f"{len(words)} things to check", "name one, or a command behind `--`")
    if len(words) > 1 or scripted:
        if asked.dataset is not None:
            raise UsageProblem("--dataset is for a TOML file", "a command names its own: --dataset_config")
        if len(words) > 1:
            return read.setup_of_command(words, Path.cwd(), options=options)
        try:
            return read.setup_of_typed(words[0], Path.cwd(), options=options)
        except ValueError as problem:
            cure = "close its quotes"
            raise UsageProblem(f"the command cannot be taken apart: {problem}", cure) from problem
    path = Path(asked.what[0])
    if path.is_dir():
        return read.setup_of_run(path, options=options)
    cure = "name one, or a command behind `--`"
    if path.suffix.lower() == ".json" and path.is_file():
        cure = "for a JSON of the kohya_ss GUI: tagflow train migrate FILE.json --out FILE.toml"
    if path.suffix.lower() != ".toml" or not path.is_file():
        raise TrainerError(f"{path}: neither a run folder nor a TOML file", cure)
    if read.is_dataset(path):
        raise UsageProblem(
            f"{path} is a dataset file", "name the file for --config_file, and this one with --dataset"
        )
    return read.setup_of_toml(path, asked.dataset, options=options)


def _options(sd_scripts: Path | None, trainer_python: Path | None) -> Options | None:
    """The options of the copy that was named; None for those that tagflow knows."""
    if sd_scripts is None:
        return None
    from tagflow.training.machine.probe import options_of
    from tagflow.training.sd_scripts.environment import find_sd_scripts
    from tagflow.training.sd_scripts.environment import trainer_python as find_python

    found = find_sd_scripts(sd_scripts)
    return None if found is None else options_of(find_python(trainer_python, found), found)


def _looked_at(setup: Setup, asked: TrainCheckOptions) -> tuple[Setup, dict[Need, str]]:
    """The setup with what its files and the trainer's Python say, and why the latter was not asked.

    Raises TrainerError where a copy of sd-scripts or a Python was named that is not there.
    """
    from tagflow.cli.output import Progress
    from tagflow.training.machine.probe import probe
    from tagflow.training.run_folder import read_plan
    from tagflow.training.sd_scripts.environment import find_sd_scripts
    from tagflow.training.sd_scripts.environment import trainer_python as find_python
    from tagflow.training.sd_scripts.schedulers import classes_of
    from tagflow.training.setup.read import with_files

    named = (asked.trainer_python, asked.sd_scripts)
    python, sd_scripts = named
    if named == (None, None) and setup.planned:
        plan = read_plan(setup.folder)
        python, sd_scripts = plan.trainer_python, plan.sd_scripts
    unknown: dict[Need, str] = {}
    try:
        copy = find_sd_scripts(sd_scripts)
        setup = replace(setup, sd_scripts=copy)
        machine = probe(find_python(python, copy), classes_of(setup.values), folder=copy)
    except TrainerError as problem:
        if named != (None, None):
            raise
        machine, unknown["machine"] = None, f"the trainer's Python was not asked: {problem.message}"
    progress = Progress()
    with progress.shown():
        return with_files(replace(setup, machine=machine), progress.progress("folders")), unknown


def _placed(setup: Setup, found: Sequence[Finding]) -> Iterator[Finding]:
    """The findings with the file that sets their option, and where it stands there once, its line.

    A dataset file stands above the configuration file, and so does the command line.
    """
    dataset, config = setup.path("dataset_config"), setup.path("config_file")
    if config is not None and config.suffix != ".toml":
        config = config.with_name(config.name + ".toml")  # as sd-scripts completes it
    here = Path.cwd()  # a path below it is told as the user would write it
    known = {file: _lines_of(file) for file in (dataset, config) if file is not None}
    for one in found:
        typed = setup.given.get(one.option) == "command line"
        files = [file for file in known if one.option in known[file] and not (typed and file == config)]
        if one.where.file is not None or not files:
            yield one
            continue
        lines = known[files[0]][one.option]
        file = files[0].relative_to(here) if files[0].is_relative_to(here) else files[0]
        yield one.at(file=file.as_posix(), line=lines[0] if len(lines) == 1 else None)


def _lines_of(file: Path) -> dict[str, list[int]]:
    """The lines of a TOML file, from 1, on which each key stands; empty for one that cannot be read."""
    from tagflow.files.read import settings_text

    found: dict[str, list[int]] = {}
    try:
        text = settings_text(file, _LARGEST)
    except (OSError, ValueError):
        return found
    for number, line in enumerate(text.splitlines(), 1):
        if key := re.match(r"""\s*(["']?)([\w-]+)\1\s*[=:]""", line):
            found.setdefault(key[2], []).append(number)
    return found
