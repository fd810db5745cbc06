"""`tagflow-audit.parquet`: the last batch written down, and what was true of the run that made it.

An audit is read as untrusted: its columns, types and digests are checked before anything relies on it.
"""

from __future__ import annotations

import filecmp
import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from tagflow.dataset.survey import AUDIT_NAME, state_folder
from tagflow.errors import AuditError
from tagflow.files.parquet import read_parquet
from tagflow.files.read import sha256
from tagflow.schema import AUDIT, AUDIT_VERSION, add, rows

Verdict = Literal["pass", "fail", "uncertified"]

_PREFIX = "tagflow."
_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "Verdict": str,
    "int": int,
    "float": (float, int),
    "float | None": (float, int, type(None)),
    "dict[str, Any]": dict,
    "list[str]": list,
    "Limits": dict,
}  # what JSON gives for each type of a fact
LATER = {"rung", "sim_dtype"}
"""Columns that came after the first version; an audit may lack them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in force. Similarities are cosines; tokens are counted without BOS and EOS."""

    min_sim: float = 0.95
    min_sim_each: float | None = None
    max_tokens: int = 225
    warn_tokens: int = 150


@dataclass(frozen=True, slots=True)
class Meta:
    """What the audit's file metadata says of its run. Times are UTC, ISO 8601."""

    run: str
    command: str
    version: str
    ontology: str
    ontology_hash: str
    encoders: str
    encoder_fingerprint: str
    limits: Limits
    options: dict[str, Any]
    dataset_digest: str
    verdict: Verdict
    reasons: list[str]
    sim_te1_mean: float | None
    sim_te2_mean: float | None
    started: str
    finished: str


def certifies(meta: Meta, limits: Limits, encoder_fingerprint: str | None) -> bool:
    """Whether a run's pass is proof under these limits and for these encoders (None: no matter which).

    A pass at a lower limit, or in other encoders, proves nothing here: the text before it is still the
    original.
    """
    each = limits.min_sim_each is None or (meta.limits.min_sim_each or 0.0) >= limits.min_sim_each
    same = encoder_fingerprint is None or meta.encoder_fingerprint == encoder_fingerprint
    return meta.verdict == "pass" and same and each and meta.limits.min_sim >= limits.min_sim


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit that was read and found whole."""

    table: pa.Table
    meta: Meta

    def by_path(self) -> dict[str, dict[str, Any]]:
        """The rows, by the caption's path."""
        return {row["path"]: row for row in self.table.to_pylist()}


def dataset_digest(table: pa.Table) -> str:
    """SHA-256 over every caption's path and the digest of its bytes as the run left them."""
    digest = hashlib.sha256()
    for path, sha in sorted(zip(rows(table, "path"), rows(table, "sha256_file"), strict=True)):
        digest.update(f"{path}\0{sha or ''}\0".encode())
    return digest.hexdigest()


def to_bytes(table: pa.Table, meta: Meta) -> bytes:
    """The parquet file's bytes: the audit's columns only, one metadata key for each fact."""
    import pyarrow.parquet as pq  # late, for `tagflow check` knows of limits and never needs parquet

    facts = {f"{_PREFIX}{name}": _as_text(value) for name, value in asdict(meta).items()}
    facts[f"{_PREFIX}schema"] = AUDIT_VERSION
    table = table.select(AUDIT.names).cast(AUDIT).replace_schema_metadata(facts)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read_audit(file: Path) -> Audit | None:
    """Read an audit; None where there is none. Raises AuditError for one that is damaged or not ours."""
    if not file.exists():
        return None
    try:
        table = read_parquet(file, AUDIT)
        meta = _meta(table.schema.metadata or {})
        table = _completed(table).cast(AUDIT)
        table.validate(full=True)
        if any(table.column(field.name).null_count for field in AUDIT if not field.nullable):
            raise ValueError("a value is missing that every row must have")
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AuditError(
            f"{file}: not an audit of this tagflow ({reason})", "move it away, then `tagflow run` again"
        ) from error
    _check_paths(file, table)
    _check_digests(file, table, meta)
    return Audit(table, meta)


def _completed(table: pa.Table) -> pa.Table:
    """The table with nulls for the columns that its version of tagflow did not have yet."""
    missing = [name for name in AUDIT.names if name not in table.column_names]
    if not missing or not set(missing) <= LATER:
        return table
    return add(table, **{name: [None] * table.num_rows for name in missing}).select(AUDIT.names)


def current_audit(root: Path) -> Audit | None:
    """The audit of a folder; None where there is none.

    Raises AuditError where it is damaged, or differs from the copy that its run left in the state folder:
    texts and digests that were both rewritten agree with each other.
    """
    file = root / AUDIT_NAME
    audit = read_audit(file)
    if audit is None:
        return None
    run = audit.meta.run
    copy = state_folder(root) / "runs" / run / "audit.parquet"
    if run == Path(run).name and copy.is_file() and not filecmp.cmp(copy, file, shallow=False):
        raise AuditError(
            f"{file}: was altered after its run wrote it",
            f"put back {copy}, or move the audit away; then `tagflow run` again",
        )
    return audit


def _meta(facts: dict[bytes, bytes]) -> Meta:
    text = {key.decode(): value.decode() for key, value in facts.items()}
    if text[f"{_PREFIX}schema"] != AUDIT_VERSION:
        raise ValueError(f"its schema is {text[f'{_PREFIX}schema']}")
    given: dict[str, Any] = {}
    for field in fields(Meta):
        value = text[f"{_PREFIX}{field.name}"]
        given[field.name] = value if field.type in ("str", "Verdict") else json.loads(value)
    if given["verdict"] not in ("pass", "fail", "uncertified"):
        raise ValueError(f"its verdict is {given['verdict']!r}")
    _check_types(Meta, given)
    _check_types(Limits, given["limits"])
    if not all(isinstance(reason, str) for reason in given["reasons"]):
        raise ValueError("its reasons are no texts")
    given["limits"] = Limits(**given["limits"])
    return Meta(**given)


def _check_types(kind: type[Meta] | type[Limits], given: dict[str, Any]) -> None:
    """Facts are used in comparisons and messages long after they were read."""
    for field in fields(kind):
        value = given.get(field.name, field.default)
        if not isinstance(value, _TYPES[str(field.type)]) or isinstance(value, bool):
            raise ValueError(f"its {field.name} is {str(value)[:40]!r}")


def _check_paths(file: Path, table: pa.Table) -> None:
    """What an audit tells of lies in its folder: no path in it may lead elsewhere."""
    for path in rows(table, "path"):
        if not path or path.startswith("/") or "\0" in path or ".." in path.split("/"):
            raise AuditError(
                f"{file}: {path!r} is no path of a caption",
                "the audit was altered; move it away, then `tagflow run` again",
            )


def _check_digests(file: Path, table: pa.Table, meta: Meta) -> None:
    """Texts must be those of their digests: an edited audit must not lend its originals to a proof."""
    if dataset_digest(table) != meta.dataset_digest:
        raise AuditError(
            f"{file}: its rows do not match its dataset digest",
            "the audit was altered; move it away, then `tagflow run` again",
        )
    for text, digest in (("original", "sha256_original"), ("rewritten", "sha256_rewritten")):
        for path, value, sha in zip(*(rows(table, name) for name in ("path", text, digest)), strict=True):
            if value is not None and sha256(value.encode()) != sha:
                raise AuditError(
                    f"{file}: the {text} text of {path} does not match its digest",
                    "the audit was altered; move it away, then `tagflow run` again",
                )


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is there; None where nothing is."""
    given = [value for value in values if value is not None]
    return sum(given) / len(given) if given else None
