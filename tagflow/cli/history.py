"""`tagflow undo` and `tagflow history`; open it for what they list and note, or what --keep means.

What an earlier command left cut off is put right by a command that writes, and named by one that does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from tagflow.cli import output
from tagflow.cli.findings import tell_beside
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER, collected
from tagflow.cli.output import note
from tagflow.dataset.survey import STATE_FOLDER, stale_among
from tagflow.errors import AuditError, UsageProblem
from tagflow.files.lock import holder
from tagflow.findings.finding import finding
from tagflow.findings.wording import many, some
from tagflow.history.late import settle
from tagflow.history.record import CUT_OFF, Record, standing_runs
from tagflow.history.store import Store, kept_size, plan_prune, prune
from tagflow.history.undo import Undone, recover, undo_runs


def recover_interrupted(store: Store) -> None:
    """Put right what an earlier command that was cut off left behind, and say so; late edits, too."""
    for edit in settle(store, store.runs(), over=True):
        where = f"is kept in {edit.kept}" if edit.kept else "is in it again"
        note(f"{edit.path} was saved while an earlier tagflow replaced it; what was saved {where}")
    for done in recover(store):
        run = done.record.run
        if done.record.state == "rolled-back":
            note(f"run {run} had been cut off; its files are as they were before it")
        else:
            note(f"the undo of run {run} had been cut off; it is finished")
        for path in done.left:
            note(f"{path} was edited since and is left alone")


def report_interrupted(store: Store) -> None:
    """Say that a run was cut off; a command that does not write leaves it at that."""
    at_work = holder(store.folder)
    for record in store.runs():
        if record.state in CUT_OFF:
            who = f" (or still goes on: {at_work})" if at_work else ""
            note(f"run {record.run} was cut off{who}; the next command that writes puts its files right")


UNDO_SCHEMA = "tagflow.undo/1"
_NAMED = 5  # files that a note names


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoOptions:
    """What `tagflow undo` was asked. `run`: the oldest run to take back; None: the newest."""

    folder: Path
    run: str | None
    force: bool
    dry_run: bool
    as_json: bool


@command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--force", is_flag=True, help="Also bring back files that were edited since.")
@click.option("--dry-run", is_flag=True, help="Name the runs and files; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@collected(UndoOptions)
def undo(asked: UndoOptions) -> int:
    """Bring back what the newest run that changed something replaced, or everything back to RUN and with it.

    A file that was edited since the run is left alone and named, unless --force is given; what it held is
    then kept in .tagflow/objects.
    """
    folder = asked.folder
    if not folder.is_dir():
        raise UsageProblem(f"{folder}: there is no such folder", "check the path")
    store = Store(folder)
    if not store.folder.is_dir():
        raise AuditError(f"{folder}: no tagflow run has written here", "check the path")
    if asked.dry_run:
        report_interrupted(store)
        records = _chosen(store, asked.run)
        if asked.as_json:
            paths = {change.path for record in records for change in record.to_undo()}
            runs = [record.run for record in records]
            output.as_json({"schema": UNDO_SCHEMA, "runs": runs, "restored": len(paths), "left": []})
            return 0
        for record in records:
            output.out(f"{record.run} ({record.command}): {many(len(record.to_undo()), 'caption')}")
            for change in record.to_undo():
                output.out(f"  {output.visible(change.path)}")
        return 0
    with store.locked():
        recover_interrupted(store)
        records = _chosen(store, asked.run)
        done = undo_runs(store, records, force=asked.force)
    restored, left = done.restored, done.left
    stale = stale_among(folder, restored)
    _notes(folder, records, done, stale)
    undone = [record.run for record in records if record.state == "undone"]
    named = [f"{record.run} ({record.command})" for record in records if record.state == "undone"]
    if asked.as_json:
        found = {"runs": undone, "restored": len(restored), "left": left, "caches_stale": stale}
        output.as_json({"schema": UNDO_SCHEMA, **found})
    else:
        output.out(
            f"{many(len(restored), 'caption')} brought back, {len(left):,} left alone, "
            f"{many(len(undone), 'run')} undone"
            + (f": {', '.join(map(output.visible, named))}" if named else "")
        )
    return int(bool(left))


def _notes(folder: Path, records: list[Record], done: Undone, stale: list[str]) -> None:
    cure = "--force brings it back; what it holds now is kept in .tagflow/objects"
    found = [finding("caption-changed", file=path, cure=cure) for path in done.left]
    found += [finding("edit-kept", str(edit.kept), file=edit.path) for edit in done.edits if edit.kept]
    tell_beside(found)
    aside = [one.path for record in records for one in record.aside]
    if aside:
        what = many(len(aside), "edit was replaced and is", "edits were replaced and are")
        output.note(f"{what} kept in {folder / STATE_FOLDER / 'objects'}")
    gone = sum(len(record.caches) for record in records)
    if gone:
        what = many(
            gone, "cache that was cleared does not come back", "caches that were cleared do not come back"
        )
        output.note(f"{what}; the trainer makes them anew")
    if stale:
        output.note(
            f"{many(len(stale), 'cache holds', 'caches hold')} the text that was taken back; remove them "
            f"before you train: {some(stale, _NAMED)}"
        )


def _chosen(store: Store, run: str | None) -> list[Record]:
    """The runs to undo, newest first. Without a name: the newest alone that replaced a caption."""
    standing = standing_runs(store.runs())
    if run is None:
        return [record for record in standing if record.to_undo()][:1]
    names = [record.run for record in standing]
    if run not in names:
        known = ", ".join(names[:5]) or "none"
        raise UsageProblem(f"{store.root}: there is no run {run!r} to undo", f"runs, newest first: {known}")
    chosen = standing[: names.index(run) + 1]
    for record in chosen:
        if record.pruned and record.changes:
            raise AuditError(
                f"{store.root}: the originals of run {record.run} were given up (`tagflow history --prune`)",
                "undo back to a newer run; `tagflow history` lists them",
            )
    return chosen


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


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryOptions:
    """What `tagflow history` was asked. `keep`: how many runs keep their originals."""

    folder: Path
    pruning: bool
    keep: int | None
    older_than: timedelta | None
    dry_run: bool
    as_json: bool


@command()
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
@collected(HistoryOptions)
def history(asked: HistoryOptions) -> int:
    """List every run in DIR, newest first; nothing is written unless --prune is given.

    --prune removes originals, never an audit: undone runs need none any more, and runs that --keep or
    --older-than names are given up, so that they cannot be undone. Edits that `undo --force` put aside go
    only with the run they were put aside for.
    """
    folder, keep, older_than = asked.folder, asked.keep, asked.older_than
    if not folder.is_dir():
        raise UsageProblem(f"{folder}: there is no such folder", "check the path")
    if not asked.pruning and (keep is not None or older_than is not None or asked.dry_run):
        raise UsageProblem("--keep, --older-than and --dry-run go with --prune", "add --prune")
    if keep is not None and older_than is not None:
        raise UsageProblem("--keep and --older-than name different runs", "use one of them")
    store = Store(folder)
    if asked.pruning and store.folder.is_dir():
        before = None if older_than is None else datetime.now(UTC) - older_than
        return _prune(store, keep, before, dry_run=asked.dry_run, as_json=asked.as_json)
    report_interrupted(store)
    found = [_row(store, record) for record in reversed(store.runs())]
    if asked.as_json:
        output.as_json({"schema": RUNS_SCHEMA, "runs": found})
        return 0
    if not found:
        output.out(f"no tagflow run has written in {store.root}")
        return 0
    head = f"{'run':<27} {'time (UTC)':<20} {'command':<9} {'state':<12} {'verdict':<12} "
    output.out(head + "changed given back  kept")
    for row in found:
        time = (row["time"] or "?")[:19].replace("T", " ")
        counts = f"{row['changed']:>7} {row['given_back']:>10}  {_size(row['kept_bytes'])}"
        line = f"{row['run']:<27} {time:<20} {row['command']:<9} {row['state']:<12} "
        output.out(output.visible(f"{line}{row['verdict'] or '-':<12} {counts}"))
    return 0


def _row(store: Store, record: Record) -> dict[str, Any]:
    """A run as `history` lists it."""
    state = {"rolled-back": "rolled back"}.get(record.state, record.state)
    if record.state in CUT_OFF:
        state = "cut off"
    elif record.pruned and record.stands and record.changes:
        state = "given up"
    return {
        "run": record.run,
        "time": None if record.time is None else record.time.isoformat(timespec="seconds"),
        "command": record.command,
        "state": state,
        "verdict": record.verdict or None,
        "changed": len(record.changes),
        "given_back": len(record.undone),
        "caches_cleared": len(record.caches),
        "undoable": record.stands and bool(record.to_undo()),
        "kept_bytes": kept_size(store, record),
    }


def _size(count: int) -> str:
    """Bytes for a person."""
    for unit in ("B", "kB", "MB"):
        if count < _KB:
            return f"{count} {unit}"
        count = round(count / _KB)
    return f"{count} GB"


def _prune(store: Store, keep: int | None, before: datetime | None, *, dry_run: bool, as_json: bool) -> int:
    if dry_run:
        report_interrupted(store)
        chosen = plan_prune(store, keep=keep, before=before)
    else:
        with store.locked():
            recover_interrupted(store)
            chosen = plan_prune(store, keep=keep, before=before)
            prune(store, chosen)
    given_up = [record.run for record in chosen.runs if record.stands and record.changes]
    if as_json:
        found = {"dry_run": dry_run, "files": len(chosen.files), "bytes": chosen.size, "given_up": given_up}
        output.as_json({"schema": PRUNE_SCHEMA, **found})
        return 0
    would = "would be " if dry_run else ""
    for run in given_up:
        output.out(output.visible(f"{run}: {would}given up, it cannot be undone any more"))
    output.out(f"{many(len(chosen.files), 'original')} {would}removed, {_size(chosen.size)} {would}freed")
    return 0
