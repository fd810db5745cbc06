"""`tagflow runs`: what was done here, what is kept of it, and giving originals up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from tagflow.cli import show
from tagflow.cli.options import FOLDER
from tagflow.cli.recovery import cut_off, recovered
from tagflow.errors import UsageProblem
from tagflow.sources.prune import Plan, kept_size, plan, prune
from tagflow.sources.record import CUT_OFF, Record
from tagflow.sources.store import Store

RUNS_SCHEMA = "tagflow.runs/1"
PRUNE_SCHEMA = "tagflow.prune/1"
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_KB = 1000


class _Age(click.ParamType[timedelta]):
    """A stretch of time: `12h`, `30d`, `8w`."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        found = re.fullmatch(r"(\d{1,4})([hdw])", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no age; give hours, days or weeks: 12h, 30d, 8w.", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--prune", "pruning", is_flag=True, help="Remove originals that no undo needs.")
@click.option(
    "--keep",
    type=click.IntRange(0),
    metavar="N",
    help="With --prune: also those of all but the newest N runs; the older ones stand for good.",
)
@click.option(
    "--older-than",
    type=_Age(),
    metavar="AGE",
    help="With --prune: also those of runs older than AGE (12h, 30d, 8w).",
)
@click.option("--dry-run", is_flag=True, help="With --prune: say what would go; remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def runs(
    folder: Path,
    *,
    pruning: bool,
    keep: int | None,
    older_than: timedelta | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """List every run in DIR, newest first; nothing is written unless --prune is given.

    --prune removes originals, never an audit: undone runs need none any more, and runs that --keep or
    --older-than names are given up, so that they cannot be undone. Edits that `undo --force` put aside go
    only with the run they were put aside for.
    """
    if not folder.is_dir():
        raise UsageProblem(f"{folder}: there is no such folder", "check the path")
    if not pruning and (keep is not None or older_than is not None or dry_run):
        raise UsageProblem("--keep, --older-than and --dry-run go with --prune", "add --prune")
    if keep is not None and older_than is not None:
        raise UsageProblem("--keep and --older-than name different runs", "use one of them")
    store = Store(folder)
    if pruning and store.folder.is_dir():
        before = None if older_than is None else datetime.now(UTC) - older_than
        return _prune(store, keep, before, dry_run=dry_run, as_json=as_json)
    cut_off(store)
    return _list(store, as_json=as_json)


def _list(store: Store, *, as_json: bool) -> int:
    found = [_row(store, record) for record in reversed(store.runs())]
    if as_json:
        show.as_json({"schema": RUNS_SCHEMA, "runs": found})
    elif not found:
        show.out(f"no tagflow run has written in {store.root}")
    else:
        for line in _table(found):
            show.out(show.visible(line))
    return 0


def _row(store: Store, record: Record) -> dict[str, Any]:
    return {
        "run": record.run,
        "time": None if record.time is None else record.time.isoformat(timespec="seconds"),
        "command": record.command,
        "state": _state(record),
        "verdict": record.verdict or None,
        "changed": len(record.changes),
        "given_back": len(record.undone),
        "caches_cleared": len(record.caches),
        "undoable": record.stands and bool(record.to_undo()),
        "kept_bytes": kept_size(store, record),
    }


def _state(record: Record) -> str:
    if record.state in CUT_OFF:
        return "cut off"
    if record.pruned and record.stands and record.changes:
        return "given up"
    return {"rolled-back": "rolled back"}.get(record.state, record.state)


def _table(found: list[dict[str, Any]]) -> Iterator[str]:
    head = f"{'run':<27} {'time (UTC)':<20} {'command':<9} {'state':<12} {'verdict':<12} "
    yield head + "changed given back  kept"
    for row in found:
        counts = f"{row['changed']:>7} {row['given_back']:>10}"
        time = (row["time"] or "?")[:19].replace("T", " ")
        yield (
            f"{row['run']:<27} {time:<20} {row['command']:<9} {row['state']:<12} "
            f"{row['verdict'] or '-':<12} {counts}  {_size(row['kept_bytes'])}"
        )


def _size(count: int) -> str:
    """Bytes for a person."""
    for unit in ("B", "kB", "MB"):
        if count < _KB:
            return f"{count} {unit}"
        count = round(count / _KB)
    return f"{count} GB"


def _prune(store: Store, keep: int | None, before: datetime | None, *, dry_run: bool, as_json: bool) -> int:
    if dry_run:
        cut_off(store)
        chosen = plan(store, keep=keep, before=before)
    else:
        with store.locked():
            recovered(store)
            chosen = plan(store, keep=keep, before=before)
            prune(store, chosen)
    _tell(chosen, dry_run=dry_run, as_json=as_json)
    return 0


def _tell(chosen: Plan, *, dry_run: bool, as_json: bool) -> None:
    given_up = [record.run for record in chosen.runs if record.stands and record.changes]
    if as_json:
        found = {"dry_run": dry_run, "files": len(chosen.files), "bytes": chosen.size, "given_up": given_up}
        show.as_json({"schema": PRUNE_SCHEMA, **found})
        return
    would = "would be " if dry_run else ""
    for run in given_up:
        show.out(show.visible(f"{run}: {would}given up, it cannot be undone any more"))
    show.out(f"{len(chosen.files)} originals {would}removed, {_size(chosen.size)} {would}freed")
