"""Extract: from files to the first batch, each caption with its original beside it.

The original is the text last certified or, before any certification, the text first seen. So a reorder
followed by a run is measured against what stood there before the reorder. A file that was edited since the
last audit is a new text, and its own original.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa

from tagflow.audit import Audit
from tagflow.engines.local import Progress
from tagflow.findings import Finding
from tagflow.schema import batch
from tagflow.sources.folder import Reading, Survey, read, sha256


def extract(
    found: Survey,
    previous: Audit | None,
    selected: Collection[str] | None,
    progress: Progress,
    *,
    against_audit: bool = False,
) -> pa.Table:
    """Read a survey's captions. `selected`: the paths to be reordered, None for all.

    `against_audit` holds the files to what the previous audit says: originals are the audit's, and a file
    that differs from it is a finding (`caption-changed`, `caption-new`, `caption-missing`).
    """
    known = previous.by_path() if previous else {}
    certified = previous is not None and previous.meta.verdict == "pass"
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            "path", "text", "original", "sha256_original", "sha256_read", "selected", "findings", "details",
        )
    }  # fmt: skip
    gone = sorted(known.keys() - set(found.captions)) if against_audit else []
    paths = [*found.captions, *gone]
    for at, path in enumerate(paths):
        progress(at, len(paths))
        reading = (
            Reading(path, findings=(Finding("caption-missing"),)) if path in gone else read(found.root, path)
        )
        note, original = (_held if against_audit else _first_seen)(reading, known.get(path), certified)
        row = _row(reading, note, original)
        row["selected"] = selected is None or path in selected
        for name, values in columns.items():
            values.append(row[name])
    progress(len(paths), len(paths))
    return batch(**columns)


Known = Mapping[str, Any] | None


def _first_seen(reading: Reading, known: Known, certified: bool) -> tuple[str | None, str | None]:
    """A finding's code, if any, and the original: see the top of this module."""
    if known is None or reading.text is None or known["original"] is None:
        return None, reading.text
    if reading.sha256 != known["sha256_file"]:
        return "caption-edited", reading.text
    return None, reading.text if certified else known["original"]


def _held(reading: Reading, known: Known, certified: bool) -> tuple[str | None, str | None]:
    """The same where the audit's word holds, whatever it certified."""
    if known is None:
        return "caption-new", reading.text
    if reading.sha256 is not None and reading.sha256 != known["sha256_file"]:
        return "caption-changed", known["original"]
    return None, known["original"]


def _row(reading: Reading, note: str | None, original: str | None) -> dict[str, Any]:
    findings = [*reading.findings, *([Finding(note)] if note else [])]
    return {
        "path": reading.path,
        "text": reading.text,
        "original": original,
        "sha256_original": reading.sha256 if original is None else sha256(original.encode()),
        "sha256_read": reading.sha256,
        "findings": [finding.code for finding in findings],
        "details": [finding.detail for finding in findings],
    }
