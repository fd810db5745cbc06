"""Write: the last step. Files are replaced one by one and atomically, the audit is left beside them.

Whatever goes wrong on the way, Ctrl-C included, puts every file back; after a kill the next command does.

Write to another folder (`--out`): the source stays as it is, every caption that can be read is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from tagflow import __version__
from tagflow.audit.file import Meta, dataset_digest, to_bytes
from tagflow.dataset.caches import stale
from tagflow.dataset.survey import AUDIT_NAME, STATE_FOLDER, Survey, bytes_now, why_not_replace
from tagflow.errors import SourceError, UsageProblem
from tagflow.files.read import sha256
from tagflow.files.replace import Changed
from tagflow.history.record import Change, ClearedCache, Record, new_run_id
from tagflow.history.store import Store
from tagflow.history.undo import begin, published, recover, rewriting
from tagflow.judge.judge import error_codes
from tagflow.pipeline import Outcome, Pipeline
from tagflow.progress import Progress
from tagflow.schema import add, rows, with_notes


def clear(store: Store, record: Record, caches: Iterable[str]) -> list[str]:
    """Remove caches, after the record has listed them: they are large, and the trainer makes them anew.

    Gives those that could not be removed.
    """
    wanted = sorted(set(caches))
    try:
        record.caches = [_described(store.root, cache) for cache in wanted]
        if wanted:
            store.save(record)
    except (SourceError, OSError):  # nothing goes that is not listed
        return wanted
    return [cache for cache in wanted if not _removed(store.root / cache)]


def _removed(file: Path) -> bool:
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _described(root: Path, cache: str) -> ClearedCache:
    with (root / cache).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return ClearedCache(cache, file.tell(), digest)


@dataclass(frozen=True, slots=True)
class Written:
    """What a command left behind. `audit` is None where nothing was to be written.

    `stale`: the trainer's caches that hold an old text, or would after this run; `cleared`: those removed.
    """

    table: pa.Table
    meta: Meta
    audit: Path | None
    stale: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()


@dataclass
class _Left:
    """What a rewrite came to: the digests written, by file; captions left alone, with the finding's code."""

    written: dict[Path, str] = field(default_factory=dict)
    alone: dict[str, str] = field(default_factory=dict)


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
            "order_hash": outcome.order_hash or pipeline.ontology.hash,
            "images": None if outcome.images is None else list(outcome.images),
        },
        dataset_digest=dataset_digest(table),
        verdict=judged.verdict,
        reasons=list(judged.reasons),
        sim_te1_mean=judged.sim_te1_mean,
        sim_te2_mean=judged.sim_te2_mean,
        started=started,
        finished=now(),
    )


def preview(pipeline: Pipeline, outcome: Outcome, root: Path, command: str, started: str) -> Written:
    """What a run would leave behind, and which captions alone; nothing is written (`--dry-run`)."""
    store, new = Store(root), targets(outcome)
    read = dict(zip(*column_by_path(outcome.table, "sha256_read"), strict=True))
    found = {path: why_not_replace(place := store.place(path), bytes_now(place), read[path]) for path in new}
    alone = {path: code for path, code in found.items() if code is not None}
    new = {path: text for path, text in new.items() if path not in alone}
    digests = {path: sha256(text.encode()) for path, text in new.items()}
    table, outcome = _judged_again(as_left(outcome.table, digests), outcome, alone)
    meta = make_meta(pipeline, outcome, table, run=new_run_id(), command=command, started=started)
    return Written(table, meta, None, stale(root, table, new).names())


def write(
    pipeline: Pipeline,
    outcome: Outcome,
    store: Store,
    command: str,
    started: str,
    progress: Progress,
    *,
    clear_caches: bool = False,
) -> Written:
    """Replace the files that change, then the audit. Call it under the store's lock.

    `clear_caches`: the trainer's caches of old texts go, once all is in its place. Raises SourceError where a
    file cannot be written; all are then as before.
    """
    record = Record(store.new_run(), command, "writing")
    with rewriting(store, record):
        left = _replaced(store, outcome, record, progress)
        named = _by_name(store, outcome.table, left.written)
        table, outcome = _judged_again(as_left(outcome.table, named), outcome, left.alone)
        caches = stale(store.root, table, named)
        if not clear_caches:
            table = caches.noted(table)
        meta = make_meta(pipeline, outcome, table, run=record.run, command=command, started=started)
        record.verdict = meta.verdict
        store.keep_audit(record, to_bytes(table, meta))
    done = Written(table, meta, published(store, record), caches.names())
    return _cleared(store, record, done) if clear_caches else done


def _replaced(store: Store, outcome: Outcome, record: Record, progress: Progress) -> _Left:
    """Replace the files one by one, after the record names them all."""
    new, left = targets(outcome), _Left()
    changes = _recorded(store, outcome.table, new, left)
    if changes:
        begin(store, record, changes)
    for at, change in enumerate(changes):
        progress(at, len(changes))
        target = store.place(change.path)
        try:  # it may be long since all were looked at
            store.replace(target, new[change.path].encode(), still=change.before)
            left.written[target] = change.after
        except Changed:
            left.alone[change.path] = "caption-changed"
    progress(len(changes), len(changes))
    return left


def _cleared(store: Store, record: Record, done: Written) -> Written:
    failed = clear(store, record, done.stale)
    cleared = tuple(cache for cache in done.stale if cache not in failed)
    return replace(done, stale=tuple(failed), cleared=cleared)


def write_audit(pipeline: Pipeline, outcome: Outcome, store: Store, command: str, started: str) -> Written:
    """Write the audit of a run that replaces no caption. Call it under the store's lock."""
    table = as_left(outcome.table, {})
    caches = stale(store.root, table)
    table = caches.noted(table)
    record = Record(store.new_run(), command, "writing", verdict=outcome.judgement.verdict)
    meta = make_meta(pipeline, outcome, table, run=record.run, command=command, started=started)
    with rewriting(store, record):
        store.keep_audit(record, to_bytes(table, meta))
    return Written(table, meta, published(store, record), caches.names())


def _recorded(store: Store, table: pa.Table, new: dict[str, str], left: _Left) -> list[Change]:
    """Keep the originals of all files that will change; the rest is noted in `left`.

    In the order of their times, so that those who sort by time find the order they know.
    """
    read = dict(zip(*column_by_path(table, "sha256_read"), strict=True))
    changes: dict[Path, tuple[int, Change]] = {}
    for path, text in new.items():
        target = store.place(path)
        if target in changes:  # a second name (a link) for a file that is written already
            continue
        data = bytes_now(target)
        code = why_not_replace(target, data, read[path])
        if code is not None:
            left.alone[path] = code
        else:
            change = Change(path, store.keep(data), sha256(text.encode()))
            changes[target] = target.stat().st_mtime_ns, change
    return [change for _, change in sorted(changes.values(), key=lambda one: one[0])]


def _by_name(store: Store, table: pa.Table, written: dict[Path, str]) -> dict[str, str]:
    """What was written, under every name it has in the folder: a link's file may have been written, too."""
    named = {}
    for path, sha in zip(*column_by_path(table, "sha256_read"), strict=True):
        file = store.real / path
        place = file.resolve() if sha is not None and file.is_symlink() else file
        if place in written:
            named[path] = written[place]
    return named


def _judged_again(table: pa.Table, outcome: Outcome, alone: dict[str, str]) -> tuple[pa.Table, Outcome]:
    """Files that were changed while we worked, or must not be, were left alone: nothing is certified then."""
    if not alone:
        return table, outcome
    status = [
        "failed" if path in alone else old for path, old in zip(*column_by_path(table, "status"), strict=True)
    ]
    table = with_notes(add(table, status=status), {path: [(code, "")] for path, code in alone.items()})
    codes = ", ".join(error_codes(rows(table, "findings")))
    reasons = (*outcome.judgement.reasons, f"captions with errors: {codes}")
    judged = replace(outcome.judgement, verdict="uncertified", reasons=reasons)
    return table, replace(outcome, table=table, judgement=judged)


def column_by_path(table: pa.Table, name: str) -> tuple[list[Any], list[Any]]:
    """Every caption's path, and its value in another column."""
    return rows(table, "path"), rows(table, name)


def as_left(table: pa.Table, written: dict[str, str]) -> pa.Table:
    """The batch with `sha256_file`, and the audit's columns that this run did not fill."""
    if "sha256_file" not in table.column_names:
        files = [
            written.get(path, sha) for path, sha in zip(*column_by_path(table, "sha256_read"), strict=True)
        ]
        table = add(table, sha256_file=files)
    filled = ("sim_te1", "sim_te2", "sim_unet", "sim_dtype")
    missing = [name for name in filled if name not in table.column_names]
    return add(table, **{name: [None] * table.num_rows for name in missing})


def write_out(
    pipeline: Pipeline, outcome: Outcome, found: Survey, out: Path, command: str, started: str
) -> Written:
    """Leave the source as it is and write every caption and the audit to another folder (`--out`).

    Captions that were not rewritten are copied as they are. Where the gate fails only the audit is written.
    """
    new = targets(outcome)
    table = as_left(outcome.table, {path: sha256(text.encode()) for path, text in new.items()})
    store = Store(out)
    with store.locked():
        record = Record(store.new_run(), command, "writing", verdict=outcome.judgement.verdict)
        meta = make_meta(pipeline, outcome, table, run=record.run, command=command, started=started)
        with rewriting(store, record):
            if outcome.judgement.verdict != "fail":
                _copy(found.root, out, store, record, table, new)
            store.keep_audit(record, to_bytes(table, meta))
        return Written(table, meta, published(store, record))


def _copy(root: Path, out: Path, store: Store, record: Record, table: pa.Table, new: dict[str, str]) -> None:
    """Write every caption that could be read to `out`, which the record names first: all of them or none."""
    read = dict(zip(*column_by_path(table, "sha256_read"), strict=True))
    left = dict(zip(*column_by_path(table, "sha256_file"), strict=True))
    # What could not be read cannot be copied; the audit names it.
    begin(store, record, [Change(path, "", left[path]) for path, sha in read.items() if sha is not None])
    for change in record.changes:
        data = bytes_now(root / change.path)
        if sha256(data) != read[change.path]:
            raise SourceError(f"{root / change.path}: changed while tagflow was at work", "run it again")
        store.make_room(out / change.path)
        store.replace(out / change.path, new[change.path].encode() if change.path in new else data)


def check_out(root: Path, out: Path) -> None:
    """Refuse an output folder that would mix with the source or overwrite something."""
    if out.resolve().is_relative_to(root.resolve()) or root.resolve().is_relative_to(out.resolve()):
        raise UsageProblem(
            f"--out {out}: lies inside the captions' folder or holds it", "give another folder"
        )
    if out.exists() and not out.is_dir():
        raise UsageProblem(f"--out {out} is a file", "give a folder")
    store = Store(out)
    if store.folder.is_dir():
        with store.locked():
            recover(store)  # what an earlier --out left half done would pass for a whole
    try:
        if out.exists() and any(left.name not in (AUDIT_NAME, STATE_FOLDER) for left in out.iterdir()):
            raise UsageProblem(
                f"--out {out} is not empty", "give a new folder, so that nothing is overwritten"
            )
    except OSError as error:
        raise SourceError(f"{out}: {error.strerror}", "mend its permissions") from error
