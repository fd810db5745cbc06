"""The audit, `tagflow-audit.parquet`; open it for a fact of a run, a default limit, or why one is refused.

It is the last batch written down, and what was true of the run that made it. It is read as untrusted: its
columns, types and digests are checked before anything relies on it.
"""

from __future__ import annotations

import filecmp
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pyarrow as pa

from tagflow.config import Description, Measure, OnLow
from tagflow.dataset.survey import AUDIT_NAME, CAPTION_SUFFIX, state_folder
from tagflow.errors import AuditError
from tagflow.files.parquet import read_parquet
from tagflow.files.read import NewerFile, refuse_nul, schema_number, sha256
from tagflow.findings.catalogue import current
from tagflow.schema import AUDIT, AUDIT_VERSION, add, rows

Verdict = Literal["pass", "fail", "uncertified"]

_PREFIX = "tagflow."
_BEFORE_2 = {"rung": "relax_level"}
"""Columns that `tagflow.audit/1` calls by other names."""

_SIMS = {"sim_unet_te1", "sim_unet_te2", "sim_plan_te1", "sim_plan_te2"}
_LATER = {1: {"relax_level", "sim_dtype", "description"} | _SIMS, 2: {"description"} | _SIMS}
"""Columns that an audit of each version may lack: they came after it."""


_LATER_FACTS = {"control"}
"""Facts that an older audit lacks."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in force. Similarities are cosines; tokens are counted without BOS and EOS.

    measure: which vectors are compared, one of `MEASURES`; before it was written down, there was one alone.
    """

    min_sim: float = 0.95
    min_sim_each: float | None = None
    max_tokens: int = 225
    warn_tokens: int = 150
    measure: Measure = "pooled"


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What a run was told, and what it took from the folder; None where its tagflow did not write it down.

    ontology: the name or the folder, with its profile. overlay: the path of the user's own tags.
    trigger_folders: of the triggers, those of one folder alone, as (folder, trigger).
    detected_trigger: the first of detected_triggers, as earlier audits have it.
    tidied: copies of a tag may have gone, by `--clean` of this run or of an uncertified one before it.
    dtype, sim_error: what the encoders computed in, and the largest difference to fp32 that was seen.
    keep_tokens_separator: what was named as the trainer's. description: what became of descriptions below the
    tags. order_hash: the ontology's that made the order.
    images: those that lay in the folder, by path. sentences_stay: sentences keep their order, which those of
    earlier audits need not. caption_extension: the suffix of its captions, with the dot.
    """

    ontology: str | None = None
    overlay: str | None = None
    keep_first: int | None = None
    triggers: tuple[str, ...] | None = None
    trigger_folders: tuple[tuple[str, str], ...] = ()
    detect: bool | None = None
    clean: bool | None = None
    keep_tokens_separator: str | None = None
    description: Description | None = None
    detected_trigger: str | None = None
    detected_triggers: tuple[str, ...] | None = None
    on_low: OnLow | None = None
    tidied: bool = False
    dtype: str | None = None
    sim_error: float | None = None
    order_hash: str | None = None
    images: tuple[str, ...] | None = None
    sentences_stay: bool = False
    caption_extension: str | None = None

    @property
    def suffix(self) -> str:
        """The suffix of the captions; before it was written down, there was one alone."""
        return self.caption_extension or CAPTION_SUFFIX

    @property
    def common_triggers(self) -> tuple[str, ...]:
        """The triggers that were named for all folders."""
        of_folders = {word for _, word in self.trigger_folders}
        return tuple(word for word in self.triggers or () if word not in of_folders)

    @property
    def all_triggers(self) -> tuple[str, ...]:
        """The triggers that were named, then those that were detected."""
        return tuple(word for word in (*(self.triggers or ()), *self.all_detected) if word)

    @property
    def all_detected(self) -> tuple[str, ...]:
        """The triggers that were detected; earlier audits know of one at most."""
        if self.detected_triggers is not None:
            return self.detected_triggers
        return () if self.detected_trigger is None else (self.detected_trigger,)


@dataclass(frozen=True, slots=True)
class Control:
    """What the encoders made of different captions, beside which a similarity of two orders can be read.

    te1, te2: mean cosines of the fixed pairs' pooled vectors, with their standard errors, in `dtype`.
    folder_te1, folder_te2: of pairs of the folder's own changed captions; None without any. common_te1,
    common_te2: how many times as much token embeddings share a direction as random ones would.
    """

    te1: float
    te2: float
    te1_error: float
    te2_error: float
    dtype: str
    folder_te1: float | None = None
    folder_te2: float | None = None
    common_te1: float | None = None
    common_te2: float | None = None

    def of(self, name: str) -> tuple[float, float]:
        """The mean of the fixed pairs in `te1` or `te2`, and its standard error."""
        return (self.te1, self.te1_error) if name == "te1" else (self.te2, self.te2_error)


@dataclass(frozen=True, slots=True)
class Meta:
    """What the audit's file metadata says of its run. Times are UTC, ISO 8601.

    control: None where no encoder was asked, and in audits that are older than it. sim_te1_mean,
    sim_te2_mean: of the vectors that the limits name (`measure`).
    """

    run: str
    command: str
    version: str
    ontology: str
    ontology_hash: str
    encoders: str
    encoder_fingerprint: str
    limits: Limits
    options: AuditOptions
    dataset_digest: str
    verdict: Verdict
    reasons: tuple[str, ...]
    sim_te1_mean: float | None
    sim_te2_mean: float | None
    started: str
    finished: str
    control: Control | None = None


def certifies(meta: Meta, limits: Limits, encoder_fingerprint: str | None) -> bool:
    """Whether a run's pass is proof under these limits and for these encoders (None: no matter which).

    A pass at a lower limit, or in other encoders, proves nothing here: the text before it is still the
    original.
    """
    each = limits.min_sim_each is None or (meta.limits.min_sim_each or 0.0) >= limits.min_sim_each
    same = encoder_fingerprint is None or meta.encoder_fingerprint == encoder_fingerprint
    at_least = each and meta.limits.min_sim >= limits.min_sim and meta.limits.measure == limits.measure
    return meta.verdict == "pass" and same and at_least


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
    import msgspec  # late, for `tagflow check` knows of limits and never needs parquet
    import pyarrow.parquet as pq

    facts = {f"{_PREFIX}schema": AUDIT_VERSION}
    for field in fields(Meta):
        fact = getattr(meta, field.name)
        facts[_PREFIX + field.name] = fact if isinstance(fact, str) else msgspec.json.encode(fact).decode()
    table = table.select(AUDIT.names).cast(AUDIT).replace_schema_metadata(facts)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def read_audit(file: Path) -> Audit | None:
    """Read an audit of this tagflow or an older one; None where there is none.

    Raises AuditError for one that is damaged, not ours, or a newer tagflow's.
    """
    if not file.exists():
        return None
    try:
        former = [AUDIT.field(new).with_name(old) for old, new in _BEFORE_2.items()]
        table = read_parquet(file, pa.schema([*AUDIT, *former]))
        meta, number = _meta(table.schema.metadata or {})
        if number == 1:  # today's names
            table = table.rename_columns([_BEFORE_2.get(name, name) for name in table.column_names])
        missing = _LATER[number].difference(table.column_names)
        table = add(table, **{name: [None] * table.num_rows for name in missing})
        table = table.select(AUDIT.names).cast(AUDIT)
        table.validate(full=True)
        if any(table.column(field.name).null_count for field in AUDIT if not field.nullable):
            raise ValueError("a value is missing that every row must have")
        _check_lists(table)
    except NewerFile as error:
        raise AuditError(
            f"{file}: {error}", "install that tagflow, or move the audit away and `tagflow run` again"
        ) from error
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AuditError(
            f"{file}: not an audit of this tagflow ({reason})", "move it away, then `tagflow run` again"
        ) from error
    cure = "the audit was altered; move it away, then `tagflow run` again"
    for path in rows(table, "path"):  # what an audit tells of lies in its folder
        if not path or path.startswith("/") or "\0" in path or ".." in path.split("/"):
            raise AuditError(f"{file}: {path!r} is no path of a caption", cure)
    if len(set(rows(table, "path"))) < table.num_rows:
        raise AuditError(f"{file}: a caption has two rows", cure)
    # Texts must be those of their digests: an edited audit must not lend its originals to a proof.
    if dataset_digest(table) != meta.dataset_digest:
        raise AuditError(f"{file}: its rows do not match its dataset digest", cure)
    for text, digest in (("original", "sha256_original"), ("rewritten", "sha256_rewritten")):
        for path, value, sha in zip(*(rows(table, name) for name in ("path", text, digest)), strict=True):
            if value is not None and sha256(value.encode()) != sha:
                raise AuditError(f"{file}: the {text} text of {path} does not match its digest", cure)
    return Audit(table, meta)


def _check_lists(table: pa.Table) -> None:
    """Raise ValueError where a list has gaps, or findings are not known, each with its detail."""
    import pyarrow.compute as pc  # late: few commands read an audit

    for field in AUDIT:
        if pa.types.is_list(field.type) and pc.list_flatten(table.column(field.name)).null_count:
            raise ValueError(f"a list in {field.name} has a gap")
    codes, details = (rows(table, name) for name in ("findings", "details"))
    if list(map(len, codes)) != list(map(len, details)):
        raise ValueError("not every finding has its detail")
    for code in {code for found in codes for code in found}:
        if current(code) is None:
            raise ValueError(f"no finding is called {code[:60]!r}")


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


def _meta(facts: dict[bytes, bytes]) -> tuple[Meta, int]:
    """The facts with their types, for they are used long after they were read; and the schema's number."""
    import msgspec

    texts = {key.decode(): value.decode() for key, value in facts.items()}
    refuse_nul([text.replace("\\u0000", "\0") for text in texts.values()])
    number = schema_number(texts[f"{_PREFIX}schema"], AUDIT_VERSION)
    given: dict[str, Any] = {}
    for name, kind in get_type_hints(Meta).items():
        if name in _LATER_FACTS and _PREFIX + name not in texts:
            continue
        text = texts[_PREFIX + name]
        is_text = kind in (str, Verdict)
        try:
            given[name] = msgspec.convert(text, kind) if is_text else msgspec.json.decode(text, type=kind)
        except ValueError as error:
            raise ValueError(f"its {name}: {error}") from error
    limits = msgspec.json.decode(texts[f"{_PREFIX}limits"]).keys() | {"measure"}
    if limits != {field.name for field in fields(Limits)}:
        raise ValueError("its limits are not those of a tagflow")  # a default would certify too much
    return Meta(**given), number


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is there; None where nothing is."""
    given = [value for value in values if value is not None]
    return sum(given) / len(given) if given else None
