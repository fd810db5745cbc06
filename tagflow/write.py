"""Write: the last step. Files are replaced one by one and atomically, the audit is left beside them.

Whatever goes wrong on the way, Ctrl-C included, puts every file back; after a kill the next command does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from tagflow import __version__
from tagflow.audit import Meta, dataset_digest, to_bytes
from tagflow.engines.local import Progress
from tagflow.pipeline import Outcome, Pipeline, with_notes
from tagflow.schema import add, rows
from tagflow.sources.folder import sha256, stale_caches
from tagflow.sources.record import Change, Record, new_run_id
from tagflow.sources.store import Store
from tagflow.stages.judge import error_codes


@dataclass(frozen=True, slots=True)
class Written:
    """What a command left behind. `audit` is None where nothing was to be written."""

    table: pa.Table
    meta: Meta
    audit: Path | None


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def targets(outcome: Outcome) -> dict[str, str]:
    """The new text of every file that is to change, by path.

    A caption that is kept goes back to its original where an earlier, uncertified reorder still stands.
    """
    table = outcome.table
    columns = (rows(table, name) for name in ("path", "status", "text", "original", "rewritten"))
    new = {}
    for path, status, text, original, rewritten in zip(*columns, strict=True):
        wanted = rewritten if status == "rewritten" else original if status == "kept" else text
        if wanted != text and outcome.judgement.verdict != "fail":
            new[path] = wanted
    return new


def make_meta(
    pipeline: Pipeline, outcome: Outcome, table: pa.Table, *, run: str, command: str, started: str
) -> Meta:
    """All that is true of a run, for the audit's metadata."""
    pair, options, judged = pipeline.pair, pipeline.options, outcome.judgement
    return Meta(
        run=run,
        command=command,
        version=__version__,
        ontology=pipeline.ontology.name,
        ontology_hash=pipeline.ontology.hash,
        encoders="" if pair is None else f"{pair.source} ({pair.dtype} on {pair.device})",
        encoder_fingerprint="" if pair is None else pair.fingerprint,
        limits=options.limits,
        options={
            "ontology": pipeline.ontology.source,
            "overlay": None if pipeline.ontology.overlay is None else str(pipeline.ontology.overlay),
            **options.order(),
            "detected_trigger": outcome.trigger,
            "on_low": options.on_low,
            "tidied": outcome.tidied,
            "dtype": None if pair is None else pair.dtype,
            "sim_error": judged.sim_error,
        },
        dataset_digest=dataset_digest(table),
        verdict=judged.verdict,
        reasons=list(judged.reasons),
        sim_te1_mean=judged.sim_te1_mean,
        sim_te2_mean=judged.sim_te2_mean,
        started=started,
        finished=now(),
    )


def preview(pipeline: Pipeline, outcome: Outcome, command: str, started: str) -> Written:
    """What a run would leave behind; nothing is written (`--dry-run`)."""
    new = targets(outcome)
    table = as_left(outcome.table, {path: sha256(text.encode()) for path, text in new.items()})
    meta = make_meta(pipeline, outcome, table, run=new_run_id(), command=command, started=started)
    return Written(table, meta, None)


def write(
    pipeline: Pipeline, outcome: Outcome, store: Store, command: str, started: str, progress: Progress
) -> Written:
    """Replace the files that change, then the audit. Call it under the store's lock."""
    new, table = targets(outcome), outcome.table
    changes, changed_since = _recorded(store, table, new)
    record = Record(new_run_id(), command, "writing", changes)
    with store.rewriting(record):
        written: dict[Path, str] = {}
        for at, change in enumerate(changes):
            progress(at, len(changes))
            target = store.place(change.path)
            if sha256(bytes_now(target)) == change.before:  # it may be long since all were looked at
                store.replace(target, new[change.path].encode())
                written[target] = change.after
            else:
                changed_since.append(change.path)
        progress(len(changes), len(changes))
        table = as_left(table, _by_name(store, table, written))
        table, outcome = _judged_again(table, outcome, changed_since)
        table = with_notes(table, _cache_findings(store.root, table))
        meta = make_meta(pipeline, outcome, table, run=record.run, command=command, started=started)
        store.keep_audit(record, to_bytes(table, meta))
    return Written(table, meta, store.publish(record))


def write_audit(pipeline: Pipeline, outcome: Outcome, store: Store, command: str, started: str) -> Written:
    """Write the audit of a run that replaces no caption. Call it under the store's lock."""
    table = as_left(outcome.table, {})
    table = with_notes(table, _cache_findings(store.root, table))
    record = Record(new_run_id(), command, "written")
    meta = make_meta(pipeline, outcome, table, run=record.run, command=command, started=started)
    store.keep_audit(record, to_bytes(table, meta))
    return Written(table, meta, store.publish(record))


def _recorded(store: Store, table: pa.Table, new: dict[str, str]) -> tuple[list[Change], list[str]]:
    """Keep the originals; which files will change, and which are not what was read any more."""
    read = dict(zip(*paths_and(table, "sha256_read"), strict=True))
    changes: dict[Path, Change] = {}
    changed_since: list[str] = []
    for path, text in new.items():
        target = store.place(path)
        if target in changes:  # a second name (a link) for a file that is written already
            continue
        data = bytes_now(target)
        if sha256(data) != read[path]:
            changed_since.append(path)
        else:
            changes[target] = Change(path, store.keep(data), sha256(text.encode()))
    return list(changes.values()), changed_since


def bytes_now(file: Path) -> bytes:
    """What a file holds now; nothing where it cannot be read any more (an empty caption is never written)."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _by_name(store: Store, table: pa.Table, written: dict[Path, str]) -> dict[str, str]:
    """What was written, under every name it has in the folder: a link's file may have been written, too."""
    named = {}
    for path, sha in zip(*paths_and(table, "sha256_read"), strict=True):
        file = store.real / path
        place = file.resolve() if sha is not None and file.is_symlink() else file
        if place in written:
            named[path] = written[place]
    return named


def _judged_again(table: pa.Table, outcome: Outcome, changed: list[str]) -> tuple[pa.Table, Outcome]:
    """Files that an editor changed while we worked were left alone, and nothing is certified with them."""
    if not changed:
        return table, outcome
    left = set(changed)
    status = [
        "failed" if path in left else old for path, old in zip(*paths_and(table, "status"), strict=True)
    ]
    table = with_notes(add(table, status=status), {path: [("caption-changed", "")] for path in changed})
    judged = outcome.judgement
    codes = ", ".join(error_codes(rows(table, "findings")))
    reasons = (*judged.reasons, f"captions with errors: {codes}")
    judged = replace(judged, verdict="uncertified", reasons=reasons)
    return table, Outcome(table, judged, outcome.trigger, outcome.tidied)


def paths_and(table: pa.Table, name: str) -> tuple[list[Any], list[Any]]:
    """Every caption's path, and its value in another column."""
    return rows(table, "path"), rows(table, name)


def as_left(table: pa.Table, written: dict[str, str]) -> pa.Table:
    """The batch with `sha256_file`, and the audit's columns that this run did not fill."""
    if "sha256_file" not in table.column_names:
        files = [written.get(path, sha) for path, sha in zip(*paths_and(table, "sha256_read"), strict=True)]
        table = add(table, sha256_file=files)
    filled = ("sim_te1", "sim_te2", "sim_unet", "sim_dtype")
    missing = [name for name in filled if name not in table.column_names]
    return add(table, **{name: [None] * table.num_rows for name in missing})


def _cache_findings(root: Path, table: pa.Table) -> dict[str, list[tuple[str, str]]]:
    stale = {path: stale_caches(root, path) for path in rows(table, "path")}
    return {path: [("cache-stale", cache) for cache in caches] for path, caches in stale.items() if caches}
