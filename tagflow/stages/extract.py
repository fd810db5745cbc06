"""Extract: from files to the first batch, each caption with its original. Open it for what an original is.

The original is the text last certified or, before any certification, the text first seen. So a reorder
followed by a run is measured against what stood there before the reorder. A file that was edited since the
last audit is a new text, and its own original, unless the text is one that an earlier run wrote.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tagflow.dataset.survey import Reading, Survey, read, second_file
from tagflow.files.read import sha256
from tagflow.findings.finding import finding
from tagflow.progress import Progress
from tagflow.schema import batch

if TYPE_CHECKING:  # both know parquet, which a check has no need to load
    from tagflow.audit.file import Audit
    from tagflow.history.originals import OriginalsIndex


def extract(
    found: Survey,
    previous: Audit | None,
    selected: Collection[str] | None,
    progress: Progress,
    earlier: OriginalsIndex | None = None,
    *,
    against_audit: bool = False,
    seconds: bool = False,
) -> pa.Table:
    """Read a survey's captions. `selected`: the paths to be reordered, None for all.

    `earlier` knows the originals; without it every text is its own.
    `against_audit` holds the files to what the previous audit says: originals are the audit's, and a file
    that differs from it is a finding (`caption-changed`, `caption-new`, `caption-missing`).
    `seconds`: the captions' second files are read, too.
    """
    known = previous.by_path() if previous else {}
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            "path", "text", "original", "sha256_original", "sha256_read", "selected", "relax_level",
            "description", "second", "findings", "details",
        )
    }  # fmt: skip
    gone = known.keys() - set(found.captions) if against_audit else set()
    paths = [*found.captions, *sorted(gone)]
    for at, path in enumerate(paths):
        progress(at, len(paths))
        reading = _missing(path, found, gone) or read(found.root, path)
        note, original = (_held if against_audit else _first_seen)(reading, known.get(path), earlier)
        row = _row(reading, note, original)
        row["selected"] = selected is None or path in selected
        row["relax_level"] = None if against_audit else _relax_level(reading, earlier)
        row["second"] = row["description"] = None
        if earlier is not None and reading.text is not None:
            row["description"] = earlier.description(path, reading.text)
        if seconds and (second := second_file(path)) in found.descriptions:
            beside = read(found.root, second)
            row["second"] = beside.text
            for one in beside.findings:
                row["findings"].append("description-left")
                row["details"].append(f"{second.rpartition('/')[2]}: {one.code} {one.detail}".rstrip())
        for name, values in columns.items():
            values.append(row[name])
    progress(len(paths), len(paths))
    return batch(**columns)


Known = Mapping[str, Any] | None


def _missing(path: str, found: Survey, gone: Collection[str]) -> Reading | None:
    """What stands for a caption that cannot be asked for by its path."""
    if path in gone:
        return Reading(path, findings=(finding("caption-missing"),))
    return Reading(path, findings=(finding("caption-name-not-utf8"),)) if path in found.misnamed else None


def _first_seen(
    reading: Reading, known: Known, earlier: OriginalsIndex | None
) -> tuple[str | None, str | None]:
    """A finding's code, if any, and the original: see the top of this module."""
    if reading.text is None or earlier is None:
        return None, reading.text
    original = earlier.original(reading.path, reading.text)
    edited = known is not None and known["sha256_file"] is not None and reading.sha256 != known["sha256_file"]
    return "caption-edited" if edited and original == reading.text else None, original


def _relax_level(reading: Reading, earlier: OriginalsIndex | None) -> int | None:
    """A text that was certified in a relaxed order stays on its level, or runs would undo each other."""
    if reading.text is None or earlier is None:
        return None
    return earlier.relax_level(reading.path, reading.text)


def _held(reading: Reading, known: Known, earlier: OriginalsIndex | None) -> tuple[str | None, str | None]:
    """The same where the audit's word on the file holds, and its own pass does not count."""
    from tagflow.audit.drift import caption_drift

    audited = None if known is None else known["sha256_file"]
    code = caption_drift(audited, reading.sha256)
    if known is None or audited is None:
        return code, reading.text
    if code is not None or reading.text is None or earlier is None:
        return code, known["original"]
    return None, earlier.original(reading.path, reading.text, trust_newest=False)


def _row(reading: Reading, note: str | None, original: str | None) -> dict[str, Any]:
    findings = [*reading.findings, *([finding(note)] if note else [])]
    return {
        "path": reading.path,
        "text": reading.text,
        "original": original,
        "sha256_original": reading.sha256 if original is None else sha256(original.encode()),
        "sha256_read": reading.sha256,
        "findings": [finding.code for finding in findings],
        "details": [finding.detail for finding in findings],
    }
