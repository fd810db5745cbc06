"""The last step of a run: files replaced, audit left; open it for what is on the disk after one that failed.

Files are replaced one by one and atomically. Whatever goes wrong on the way, Ctrl-C included, puts every file
back; after a kill the next command does.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from tagflow import __version__
from tagflow.audit.file import AuditOptions, Meta, dataset_digest, to_bytes
from tagflow.config import Images
from tagflow.dataset.survey import (
    AUDIT_NAME,
    STATE_FOLDER,
    bytes_now,
    stale_by_caption,
    why_not_replace,
)
from tagflow.errors import SourceError, UsageProblem
from tagflow.files.link import How
from tagflow.files.read import is_file, sha256
from tagflow.files.replace import Changed
from tagflow.history.late import Edit, settle
from tagflow.history.record import Change, ClearedCache, Record, new_run_id
from tagflow.history.store import Store
from tagflow.history.undo import begin, published, recover, rewriting, roll_back
from tagflow.judge.judge import Judgement, after_writing
from tagflow.pipeline import Outcome, Pipeline
from tagflow.progress import Progress
from tagflow.schema import AUDIT, add, rows, with_notes


@dataclass(frozen=True, slots=True)
class Written:
    """What a command left behind. `audit` is None where nothing was to be written.

    `stale`: the trainer's caches that hold an old text, or would after this run; `cleared`: those removed.
    `placed`: how many images stand beside the captions now, as links and as copies.
    """

    table: pa.Table
    meta: Meta
    audit: Path | None
    stale: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    placed: Mapping[How, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Writing:
    """One command's last step. `store`: that of the folder that is written to; `started`: UTC, ISO 8601."""

    pipeline: Pipeline
    outcome: Outcome
    store: Store
    command: str
    started: str

    def dry_run(self) -> Written:
        """What `in_place` would leave behind, and which captions alone; nothing is written."""
        table, new = self.outcome.table, targets(self.outcome)
        read, alone = _by_path(table, "sha256_read"), {}
        for path in new:
            file = self.store.place(path)
            if code := why_not_replace(file, bytes_now(file), read[path]):
                alone[path] = code
        new = {path: text for path, text in new.items() if path not in alone}
        digests = {path: sha256(text.encode()) for path, text in new.items()}
        table, judgement = after_writing(_as_left(table, digests), self.outcome.judgement, alone)
        caches = stale_by_caption(self.store.root, rows(table, "path"), new)
        return Written(table, self._meta(new_run_id(), table, judgement), None, _names(caches))

    def in_place(self, progress: Progress, *, clear_caches: bool = False) -> Written:
        """Replace the files that change, then the audit. Call it under the store's lock.

        `clear_caches`: the trainer's caches of old texts go, once all is in its place. Raises SourceError
        where a file cannot be written; all are then as before.
        """
        record = Record(self.store.new_run(), self.command, "writing")
        with rewriting(self.store, record):
            digests, alone, edits = self._replaced(record, progress)
            table = _as_left(self.outcome.table, digests)
            table, judgement = after_writing(table, self.outcome.judgement, alone)
            table = with_notes(table, {edit.path: [("edit-kept", str(edit.kept))] for edit in edits})
            new = {path: text for path, text in targets(self.outcome).items() if path in digests}
            caches = stale_by_caption(self.store.root, rows(table, "path"), new)
            if not clear_caches:
                table = _with_stale_caches(table, caches)
            meta = self._keep_audit(record, table, judgement)
        written = Written(table, meta, published(self.store, record), _names(caches))
        if not clear_caches:
            return written
        failed = _clear(self.store, record, written.stale)
        cleared = tuple(cache for cache in written.stale if cache not in failed)
        return replace(written, stale=tuple(failed), cleared=cleared)

    def audit_only(self) -> Written:
        """Write the audit of a command that replaces no caption. Call it under the store's lock."""
        table = _as_left(self.outcome.table, {})
        caches = stale_by_caption(self.store.root, rows(table, "path"))
        table = _with_stale_caches(table, caches)
        record = Record(self.store.new_run(), self.command, "writing")
        with rewriting(self.store, record):
            meta = self._keep_audit(record, table, self.outcome.judgement)
        return Written(table, meta, published(self.store, record), _names(caches))

    def from_folder(self, source: Path, images: Images, progress: Progress) -> Written:
        """Leave the captions in `source` as they are; write all of them and the audit to the store's folder.

        Captions that were not rewritten are copied as they are; one that cannot be read is left out, and the
        audit names it. `images`: whether those that the trainer reads come, too, masks among them. Where the
        gate fails only the audit is written.
        """
        new, judgement = targets(self.outcome), self.outcome.judgement
        table = _as_left(self.outcome.table, {path: sha256(text.encode()) for path, text in new.items()})
        with self.store.locked():
            record = Record(self.store.new_run(), self.command, "writing")
            with rewriting(self.store, record):
                placed = Counter[How]()
                if judgement.verdict != "fail":
                    self._copied(source, record, table, new, images)
                    if images != "none":
                        for at, path in enumerate(record.images):
                            progress(at, len(record.images))
                            placed[self.store.place_image(source, path, images)] += 1
                meta = self._keep_audit(record, table, judgement)
            return Written(table, meta, published(self.store, record), placed=placed)

    def _replaced(
        self, record: Record, progress: Progress
    ) -> tuple[dict[str, str], dict[str, str], list[Edit]]:
        """Replace the files one by one, after the record names them all.

        Gives what was written, the digest by each path that leads there; the captions left alone, the
        finding's code by path; and what was saved in them meanwhile and is kept elsewhere.
        """
        new = targets(self.outcome)
        changes, alone = self._originals_kept(new)
        if changes:
            begin(self.store, record, changes)
        digests: dict[Path, str] = {}
        for at, change in enumerate(changes):
            progress(at, len(changes))
            target = self.store.place(change.path)
            try:  # it may be long since all were looked at
                self.store.replace(target, new[change.path].encode(), still=change.before)
                digests[target] = change.after
            except Changed:
                alone[change.path] = "caption-changed"
        progress(len(changes), len(changes))
        edits = settle(self.store, [record], over=False)
        for edit in edits:
            digests.pop(self.store.place(edit.path), None)
            alone[edit.path] = "caption-changed"
        return self._by_every_name(digests), alone, [edit for edit in edits if edit.kept]

    def _originals_kept(self, new: Mapping[str, str]) -> tuple[list[Change], dict[str, str]]:
        """Keep the originals of all files that will change; the changes, and the captions to be left alone.

        In the order of their times, so that those who sort by time find the order they know.
        """
        read = _by_path(self.outcome.table, "sha256_read")
        changes: dict[Path, tuple[int, Change]] = {}
        alone: dict[str, str] = {}
        for path, text in new.items():
            target = self.store.place(path)
            if target in changes:  # a second name (a link) for a file that is written already
                continue
            data = bytes_now(target)
            code = why_not_replace(target, data, read[path])
            if code is not None:
                alone[path] = code
            else:
                change = Change(path, self.store.keep(data), sha256(text.encode()))
                changes[target] = target.stat().st_mtime_ns, change
        return [change for _, change in sorted(changes.values(), key=lambda timed: timed[0])], alone

    def _by_every_name(self, digests: Mapping[Path, str]) -> dict[str, str]:
        """What was written, under every name it has in the folder: a link's file may have been written."""
        named = {}
        for path, sha in _by_path(self.outcome.table, "sha256_read").items():
            file = self.store.real / path
            place = file.resolve() if sha is not None and file.is_symlink() else file
            if place in digests:
                named[path] = digests[place]
        return named

    def _copied(
        self, source: Path, record: Record, table: pa.Table, new: Mapping[str, str], images: Images
    ) -> None:
        """Write every caption that could be read, all of them or none, after the record names them."""
        out, read, left = self.store.root, _by_path(table, "sha256_read"), _by_path(table, "sha256_file")
        readable = [path for path, sha in read.items() if sha is not None]
        changes = [Change(path, "", left[path]) for path in readable]
        there = [path for path in self.outcome.images or () if images != "none" and is_file(source / path)]
        begin(self.store, record, changes, there, source)
        for path in readable:
            data = bytes_now(source / path)
            if sha256(data) != read[path]:
                raise SourceError(f"{source / path}: changed while tagflow was at work", "run it again")
            self.store.make_room(out / path)
            # Nothing was there, and what somebody else has put there meanwhile stays.
            self.store.replace(out / path, new[path].encode() if path in new else data, still="")

    def _keep_audit(self, record: Record, table: pa.Table, judgement: Judgement) -> Meta:
        """Store the audit in the run's own folder, and the verdict in its record."""
        meta = self._meta(record.run, table, judgement)
        record.verdict = meta.verdict
        self.store.keep_audit(record, to_bytes(table, meta))
        return meta

    def _meta(self, run: str, table: pa.Table, judgement: Judgement) -> Meta:
        """All that is true of a run, for the audit's metadata."""
        ontology, pair, options = self.pipeline.ontology, self.pipeline.pair, self.pipeline.options
        images = self.outcome.images
        return Meta(
            run=run,
            command=self.command,
            version=__version__,
            ontology=ontology.name,
            ontology_hash=ontology.hash,
            encoders="" if pair is None else f"{pair.source} ({pair.dtype} on {pair.device})",
            encoder_fingerprint="" if pair is None else pair.fingerprint,
            limits=options.limits,
            options=AuditOptions(
                ontology=ontology.source,
                overlay=None if ontology.overlay is None else str(ontology.overlay),
                **options.order(),
                description=options.description,
                detected_trigger=next(iter(self.outcome.triggers.detected()), None),
                detected_triggers=self.outcome.triggers.detected(),
                on_low=options.on_low,
                tidied=self.outcome.tidied,
                dtype=None if pair is None else pair.dtype,
                sim_error=judgement.sim_error,
                order_hash=self.outcome.order_hash or ontology.hash,
                images=images,
                sentences_stay=self.outcome.sentences_stay,
                caption_extension=self.outcome.suffix,
            ),
            dataset_digest=dataset_digest(table),
            verdict=judgement.verdict,
            reasons=judgement.reasons,
            sim_te1_mean=judgement.sim_te1_mean,
            sim_te2_mean=judgement.sim_te2_mean,
            control=judgement.control,
            started=self.started,
            finished=now(),
        )


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


def _by_path(table: pa.Table, name: str) -> dict[str, Any]:
    """A column's values, by the caption's path."""
    return dict(zip(rows(table, "path"), rows(table, name), strict=True))


def _as_left(table: pa.Table, digests: Mapping[str, str]) -> pa.Table:
    """The batch with `sha256_file`, and the audit's columns that this command did not fill.

    digests: those of the files that were written, by path; the others are as they were read.
    """
    if "sha256_file" not in table.column_names:
        columns = zip(rows(table, "path"), rows(table, "sha256_read"), strict=True)
        table = add(table, sha256_file=[digests.get(path, sha) for path, sha in columns])
    filled = [name for name in AUDIT.names if name.startswith("sim_")]
    missing = [name for name in filled if name not in table.column_names]
    return add(table, **{name: [None] * table.num_rows for name in missing})


def _with_stale_caches(table: pa.Table, caches: Mapping[str, Iterable[str]]) -> pa.Table:
    """The batch with a finding for every stale cache, by the caption's path."""
    return with_notes(
        table, {path: [("cache-stale", name) for name in names] for path, names in caches.items()}
    )


def _names(caches: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Each cache once."""
    return tuple(sorted({name for names in caches.values() for name in names}))


def _clear(store: Store, record: Record, caches: tuple[str, ...]) -> list[str]:
    """Remove caches, after the record has listed them: they are large, and the trainer makes them anew.

    Gives those that could not be removed.
    """
    try:
        listed = []
        for cache in caches:
            with (store.root / cache).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                listed.append(ClearedCache(cache, file.tell(), digest))
        record.caches = listed
        if caches:
            store.save(record)
    except (SourceError, OSError):  # nothing goes that is not listed
        return list(caches)
    failed = []
    for cache in caches:
        try:
            (store.root / cache).unlink(missing_ok=True)
        except OSError:
            failed.append(cache)
    return failed


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
            for record in store.runs():
                made_here = record.changes and not any(change.before for change in record.changes)
                if record.state == "written" and made_here:  # killed when all files were there: made anew
                    roll_back(store, record)
            recover(store)  # what an earlier --out left half done would pass for a whole
    try:
        if out.exists() and any(left.name not in (AUDIT_NAME, STATE_FOLDER) for left in out.iterdir()):
            raise UsageProblem(
                f"--out {out} is not empty", "give a new folder, so that nothing is overwritten"
            )
    except OSError as error:
        raise SourceError(f"{out}: {error.strerror}", "mend its permissions") from error
