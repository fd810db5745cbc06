"""`tagflow undo`: the exact bytes back."""

from __future__ import annotations

from pathlib import Path

import click

from tagflow.cli import show
from tagflow.cli.options import FOLDER
from tagflow.cli.recovery import cut_off, recovered
from tagflow.errors import AuditError, UsageProblem
from tagflow.sources.caches import stale_among
from tagflow.sources.folder import STATE_FOLDER
from tagflow.sources.record import Record, standing_runs
from tagflow.sources.store import Store
from tagflow.sources.undo import undo_runs

UNDO_SCHEMA = "tagflow.undo/1"


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--force", is_flag=True, help="Also bring back files that were edited since.")
@click.option("--dry-run", is_flag=True, help="Name the runs and files; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def undo(folder: Path, run: str | None, *, force: bool, dry_run: bool, as_json: bool) -> int:
    """Bring back what the newest run replaced, or everything back to RUN and with it.

    A file that was edited since the run is left alone and named, unless --force is given; what it held is
    then kept in .tagflow/objects.
    """
    if not folder.is_dir():
        raise UsageProblem(f"{folder}: there is no such folder", "check the path")
    store = Store(folder)
    if not store.folder.is_dir():
        raise AuditError(f"{folder}: no tagflow run has written here", "check the path")
    if dry_run:
        cut_off(store)
        _tell_plan(_chosen(store, run), as_json=as_json)
        return 0
    with store.locked():
        recovered(store)
        records = _chosen(store, run)
        restored, left = undo_runs(store, records, force=force)
    stale = stale_among(folder, restored)
    _notes(folder, records, left, stale)
    undone = [record.run for record in records if record.state == "undone"]
    if as_json:
        found = {"runs": undone, "restored": len(restored), "left": left, "caches_stale": stale}
        show.as_json({"schema": UNDO_SCHEMA, **found})
    else:
        show.out(f"{len(restored)} captions brought back, {len(left)} left alone, {len(undone)} runs undone")
    return int(bool(left))


def _notes(folder: Path, records: list[Record], left: list[str], stale: list[str]) -> None:
    for path in left:
        why = "edited or removed since the run, left alone; cure: --force brings it back"
        show.warn(show.visible(f"{path}: error: caption-changed: {why}"))
    aside = [one.path for record in records for one in record.aside]
    if aside:
        show.note(f"{len(aside)} edits were replaced; they are kept in {folder / STATE_FOLDER / 'objects'}")
    gone = sum(len(record.caches) for record in records)
    if gone:
        show.note(f"{gone} caches that these runs cleared do not come back; the trainer makes them anew")
    if stale:
        show.note(
            f"{len(stale)} of the trainer's caches hold the text that was taken back, remove them before "
            f"training: {', '.join(stale[:5])}{', ...' if len(stale) > 5 else ''}"
        )


def _tell_plan(records: list[Record], *, as_json: bool) -> None:
    if as_json:
        paths = sorted({change.path for record in records for change in record.to_undo()})
        runs = [record.run for record in records]
        show.as_json({"schema": UNDO_SCHEMA, "runs": runs, "restored": len(paths), "left": []})
        return
    for record in records:
        show.out(f"{record.run} ({record.command}): {len(record.to_undo())} captions")
        for change in record.to_undo():
            show.out(f"  {show.visible(change.path)}")


def _chosen(store: Store, run: str | None) -> list[Record]:
    """The runs to undo, newest first. Without a name: back to the newest that replaced a caption."""
    standing = standing_runs(store.runs())
    wanted = run or next((record.run for record in standing if record.to_undo()), None)
    if wanted is None:
        return []
    names = [record.run for record in standing]
    if wanted not in names:
        known = ", ".join(names[:5]) or "none"
        raise UsageProblem(
            f"{store.root}: there is no run {wanted!r} to undo", f"runs, newest first: {known}"
        )
    chosen = standing[: names.index(wanted) + 1]
    for record in chosen:
        if record.pruned and record.changes:
            raise AuditError(
                f"{store.root}: the originals of run {record.run} were given up (`tagflow runs --prune`)",
                "undo back to a newer run; `tagflow runs` lists them",
            )
    return chosen
