"""Extract: from files to the first batch, each caption with its original beside it.

The original is the text last certified or, before any certification, the text first seen. So a reorder
followed by a run is measured against what stood there before the reorder. A file that was edited since the
last audit is a new text, and its own original, unless the text is one that an earlier run wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import pyarrow as pa

from tagflow.audit import Audit, Meta
from tagflow.engines.local import Progress
from tagflow.findings import Finding
from tagflow.originals import Earlier
from tagflow.schema import batch
from tagflow.sources.folder import Reading, Survey, read, sha256


def extract(
    found: Survey,
    previous: Audit | None,
    selected: Collection[str] | None,
    progress: Progress,
    *,
    certifies: Callable[[Meta], bool] = lambda meta: meta.verdict == "pass",
    against_audit: bool = False,
) -> pa.Table:
    """Read a survey's captions. `selected`: the paths to be reordered, None for all.

    `certifies` says whether an earlier run's pass is proof enough for its text to be the original now.
    `against_audit` holds the files to what the previous audit says: originals are the audit's, and a file
    that differs from it is a finding (`caption-changed`, `caption-new`, `caption-missing`).
    """
    known = previous.by_path() if previous else {}
    certified = previous is not None and certifies(previous.meta)
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            "path", "text", "original", "sha256_original", "sha256_read", "selected", "findings", "details",
        )
    }  # fmt: skip
    gone = known.keys() - set(found.captions) if against_audit else set()
    paths = [*found.captions, *sorted(gone)]
    earlier = Earlier(found, certifies)
    for at, path in enumerate(paths):
        progress(at, len(paths))
        reading = _missing(path, found, gone) or read(found.root, path)
        if against_audit:
            note, original = _held(reading, known.get(path))
        else:
            note, original = _first_seen(reading, known.get(path), certified, earlier)
        row = _row(reading, note, original)
        row["selected"] = selected is None or path in selected
        for name, values in columns.items():
            values.append(row[name])
    progress(len(paths), len(paths))
    return batch(**columns)


Known = Mapping[str, Any] | None


def _missing(path: str, found: Survey, gone: Collection[str]) -> Reading | None:
    """What stands for a caption that cannot be asked for by its path."""
    if path in gone:
        return Reading(path, findings=(Finding("caption-missing"),))
    return Reading(path, findings=(Finding("caption-name-not-utf8"),)) if path in found.misnamed else None


def _first_seen(
    reading: Reading, known: Known, certified: bool, earlier: Earlier
) -> tuple[str | None, str | None]:
    """A finding's code, if any, and the original: see the top of this module."""
    if reading.text is None or reading.sha256 is None:
        return None, None
    if known is not None and known["original"] is not None and reading.sha256 == known["sha256_file"]:
        return None, reading.text if certified else known["original"]
    original = earlier.original(reading.path, reading.sha256)
    if original is not None:
        return None, original
    edited = known is not None and known["sha256_file"] is not None and reading.sha256 != known["sha256_file"]
    return "caption-edited" if edited else None, reading.text


def _held(reading: Reading, known: Known) -> tuple[str | None, str | None]:
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
