"""`tagflow train migrate`: a training of SD 1.5 becomes one of SDXL."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from tagflow.cli import output
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER
from tagflow.errors import TrainerError, UsageProblem

if TYPE_CHECKING:
    from tagflow.findings.finding import Finding
    from tagflow.training.migrate.migrate import Change, Migration


@command()
@click.argument("source", metavar="SD15.toml", type=FOLDER)
@click.option("--out", type=FOLDER, metavar="FILE", help="Write to a new file, and the dataset's beside it.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def migrate(source: Path, *, out: Path | None, as_json: bool) -> int:
    """Make a configuration for SDXL of SD15.toml, one for sd-scripts' --config_file; each line says why.

    Without --out the new TOML goes to stdout, and a dataset's file that it names is not migrated. With it
    stdout says what became of each option. SD15.toml itself is never touched.
    """
    from tagflow.training.migrate.migrate import migrate as made_of

    dataset_out = None if out is None else out.with_name(f"{out.stem}.dataset.toml")
    for file in (one for one in (out, dataset_out) if one is not None):
        if file.exists() or file.is_symlink():
            raise UsageProblem(f"{file} exists already", "name a new file with --out")
    migration = made_of(source, dataset_out)
    faults = _faults(migration)
    if out is not None and dataset_out is not None:
        if migration.dataset is not None:
            _write(dataset_out, migration.dataset_text)
        _write(out, migration.text)
    if as_json:
        output.as_json(_object(migration, out, dataset_out, faults))
    elif out is None:
        output.out(migration.text.rstrip("\n"))
    else:
        output.out_lines(map(output.visible, _table(migration)))
    _tell(migration, out, faults, quiet=as_json)
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


def _object(
    migration: Migration, out: Path | None, dataset_out: Path | None, faults: list[Finding]
) -> dict[str, Any]:
    from tagflow.training.migrate.migrate import SCRIPT

    migrated = migration.dataset is not None
    return {
        "schema": "tagflow.migrate/1",
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
        "faults": [
            {"code": one.code, "severity": one.severity, "option": one.option, "detail": one.detail}
            for one in faults
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


def _tell(migration: Migration, out: Path | None, faults: list[Finding], *, quiet: bool) -> None:
    from tagflow.training.migrate.migrate import SCRIPT

    counts = Counter(one.verdict.action for one in migration.changes)
    output.note(
        ", ".join(f"{count} {action}" for action, count in counts.items()) + f"; start it with {SCRIPT}"
    )
    if quiet:
        return
    if out is None:
        for one in migration.changes:
            if one.verdict.action in ("dropped", "unknown", "look"):
                output.note(f"{one.verdict.action}: {one.option}: {one.verdict.reason}")
    for fault in (one for one in faults if one.severity != "info"):
        seen = f" ({fault.detail})" if fault.detail else ""
        what = f"{fault.severity}: {fault.code}: {fault.kind.title}{seen}"
        output.note(f"still to do: {what}; cure: {fault.kind.cure}")
