"""Write to another folder (`--out`): the source stays as it is, every caption that can be read is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa

from tagflow.audit import to_bytes
from tagflow.errors import SourceError, UsageProblem
from tagflow.pipeline import Outcome, Pipeline
from tagflow.sources.folder import AUDIT_NAME, STATE_FOLDER, Survey, sha256
from tagflow.sources.record import Record, new_run_id
from tagflow.sources.store import Store
from tagflow.write import Written, as_left, bytes_now, make_meta, paths_and, targets


def write_out(
    pipeline: Pipeline, outcome: Outcome, found: Survey, out: Path, command: str, started: str
) -> Written:
    """Leave the source as it is and write every caption and the audit to another folder (`--out`).

    Captions that were not rewritten are copied as they are. Where the gate fails only the audit is written.
    """
    new = targets(outcome)
    table = as_left(outcome.table, {path: sha256(text.encode()) for path, text in new.items()})
    run = new_run_id()
    meta = make_meta(pipeline, outcome, table, run=run, command=command, started=started)
    store = Store(out)
    if outcome.judgement.verdict != "fail":
        _copy(found.root, out, store, table, new)
    record = Record(run, command, "written")
    store.keep_audit(record, to_bytes(table, meta))
    return Written(table, meta, store.publish(record))


def _copy(root: Path, out: Path, store: Store, table: pa.Table, new: dict[str, str]) -> None:
    """Write every caption that could be read to `out`; all of them or none."""
    try:
        for path, sha in zip(*paths_and(table, "sha256_read"), strict=True):
            if sha is None:  # what could not be read cannot be copied; the audit names it
                continue
            data = bytes_now(root / path)
            if sha256(data) != sha:
                raise SourceError(f"{root / path}: changed while tagflow was at work", "run it again")
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            store.replace(out / path, new[path].encode() if path in new else data)
    except BaseException:  # Ctrl-C, too: half a folder would pass for a whole one
        for left in out.iterdir():
            if left.name not in (AUDIT_NAME, STATE_FOLDER):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        raise


def check_out(root: Path, out: Path) -> None:
    """Refuse an output folder that would mix with the source or overwrite something."""
    if out.resolve().is_relative_to(root.resolve()) or root.resolve().is_relative_to(out.resolve()):
        raise UsageProblem(
            f"--out {out}: lies inside the captions' folder or holds it", "give another folder"
        )
    if out.exists() and not out.is_dir():
        raise UsageProblem(f"--out {out} is a file", "give a folder")
    try:
        if out.exists() and any(left.name not in (AUDIT_NAME, STATE_FOLDER) for left in out.iterdir()):
            raise UsageProblem(
                f"--out {out} is not empty", "give a new folder, so that nothing is overwritten"
            )
    except OSError as error:
        raise SourceError(f"{out}: {error.strerror}", "mend its permissions") from error
