"""`tagflow train migrate`; open it for the files that it writes and the table that it prints.

What becomes of an option is in training/migrate.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from tagflow.cli import output
from tagflow.cli.findings import Report, as_object, tell_beside
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER, collected
from tagflow.errors import TrainerError, UsageProblem
from tagflow.findings.finding import Finding

if TYPE_CHECKING:
    from tagflow.training.migrate.migrate import Change, Migration


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateOptions:
    """What `tagflow train migrate` was asked. `source`: a file, or the words of a command."""

    source: tuple[str, ...]
    base: str | None
    out: Path | None
    as_json: bool


@command()
@click.argument("source", metavar="FILE | -- COMMAND...", nargs=-1, type=click.UNPROCESSED, required=True)
@click.option("--out", type=FOLDER, metavar="FILE", help="Write to a new file, and the dataset's beside it.")
@click.option("--base", metavar="FILE", help="The SDXL checkpoint that is to be trained on.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@collected(MigrateOptions)
def migrate(asked: MigrateOptions) -> int:
    """Make a configuration of SD 1.5 one for SDXL, a TOML for sd-scripts' --config_file; each line says why.

    FILE: such a TOML, also of a GUI, a JSON of the kohya_ss GUI, or a shell script; a command comes last,
    behind `--`, in words or as one quoted text. What a GUI or a command says for SDXL keeps its values.
    Without --out the new TOML goes to stdout, and a dataset's file that it names is not migrated. With it
    stdout says what became of each option. FILE itself is never touched.
    """
    from tagflow.training.migrate.migrate import SCRIPT
    from tagflow.training.migrate.migrate import migrate as made_of
    from tagflow.training.migrate.source import read_source, read_words

    out = asked.out
    dataset_out = None if out is None else out.with_name(f"{out.stem}.dataset.toml")
    for file in (one for one in (out, dataset_out) if one is not None):
        if file.exists() or file.is_symlink():
            raise UsageProblem(f"{file} exists already", "name a new file with --out")
    typed = len(asked.source) > 1 or ".py " in asked.source[0]
    source = read_words(list(asked.source)) if typed else read_source(Path(asked.source[0]))
    migration = made_of(source, dataset_out, asked.base)
    faults = _faults(migration)
    if out is not None and dataset_out is not None:
        if migration.dataset is not None:
            _write(dataset_out, migration.dataset_text)
        _write(out, migration.text)
    left = migration.left_over()
    if asked.as_json:
        facts = _facts(migration, out, dataset_out)
        output.as_json(as_object(Report("tagflow.migrate/2", (*left, *faults), facts)))
    elif out is None:
        output.out(migration.text.rstrip("\n"))
    else:
        output.out_lines(map(output.visible, _table(migration)))
    counts = Counter(one.verdict.action for one in migration.changes)
    done = ", ".join(f"{count} {action}" for action, count in counts.items())
    output.note(f"{done}; start it with {SCRIPT}")
    if not asked.as_json:
        # With --out the table on stdout has said what became of each option.
        still = [one for one in faults if one.severity != "info"]
        tell_beside([*left, *still] if out is None else still)
    return 0


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8", newline="\n") as opened:
            opened.write(text)
    except OSError as problem:
        raise TrainerError(
            f"{file}: {problem.strerror or problem}", "name another file with --out"
        ) from problem


def _faults(migration: Migration) -> list[Finding]:
    """What is still wrong with the result, by the rules of `tagflow train check`."""
    from tagflow.training.check.rules import faults_of
    from tagflow.training.setup.read import setup_of_toml

    with TemporaryDirectory() as folder:
        train, dataset = Path(folder) / "train.toml", Path(folder) / "dataset.toml"
        train.write_text(migration.text, encoding="utf-8")
        if migration.dataset is None:
            return faults_of(setup_of_toml(train))
        dataset.write_text(migration.dataset_text, encoding="utf-8")
        return faults_of(setup_of_toml(train, dataset))


def _facts(migration: Migration, out: Path | None, dataset_out: Path | None) -> dict[str, Any]:
    from tagflow.training.migrate.migrate import SCRIPT

    migrated = migration.dataset is not None
    return {
        "source": str(migration.source),
        "script": SCRIPT,
        "out": out and str(out),
        "dataset_out": str(dataset_out) if migrated else None,
        "toml": migration.text,
        "dataset_toml": migration.dataset_text if migrated else None,
        "changes": [
            {
                "file": one.file,
                "option": one.option,
                "action": one.verdict.action,
                "before": _json(one.before),
                "after": _json(one.verdict.after),
                "reason": one.verdict.reason,
            }
            for one in migration.changes
        ],
    }


def _json(value: Any) -> Any:
    """A value of TOML's in JSON: dates, NaN and infinity have no other form than a text there."""
    return json.loads(json.dumps(value, default=str), parse_constant=str)


def _table(migration: Migration) -> Iterator[str]:
    width = max((len(one.option) for one in migration.changes), default=0)
    for file in dict.fromkeys(one.file for one in migration.changes):
        yield f"{file}:"
        for one in migration.changes:
            if one.file == file:
                yield f"  {one.verdict.action:<8} {one.option:<{width}}  {_values(one)}: {one.verdict.reason}"


def _values(one: Change) -> str:
    before, after = (
        output.short(json.dumps(value, default=str)) for value in (one.before, one.verdict.after)
    )
    if one.verdict.action == "added":
        return after
    if one.verdict.after is None or one.verdict.after == one.before:
        return before
    return f"{before} -> {after}"
