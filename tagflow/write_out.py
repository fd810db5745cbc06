"""Write to another folder (`--out`): the source stays as it is, every caption that can be read is there."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tagflow.audit import to_bytes
from tagflow.errors import SourceError, UsageProblem
from tagflow.pipeline import Outcome, Pipeline
from tagflow.sources.folder import AUDIT_NAME, STATE_FOLDER, Survey, bytes_now, sha256
from tagflow.sources.record import Change, Record
from tagflow.sources.recover import begin, published, recover, rewriting
from tagflow.sources.store import Store
from tagflow.write import Written, as_left, make_meta, paths_and, targets


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
    read = dict(zip(*paths_and(table, "sha256_read"), strict=True))
    left = dict(zip(*paths_and(table, "sha256_file"), strict=True))
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
