"""A pass held against the rows of its audit; open it for a verdict that is said not to follow from them.

Whoever goes by an audit asks this first: a verdict is one word in a file, and must be what the rows come to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import pyarrow as pa

from tagflow.audit.file import Audit, Meta, mean
from tagflow.findings.catalogue import kind_of
from tagflow.findings.wording import many
from tagflow.judge.control import not_told_apart
from tagflow.judge.judge import CUT, ENCODERS, changed_sims, standing_rows, too_low
from tagflow.schema import rows

_SAME = 1e-9
_CERTIFY = ("run", "validate")
_FILE = {"rewritten": "sha256_rewritten", "unchanged": "sha256_rewritten", "kept": "sha256_original"}
"""For each status whose digest the caption's file must have."""


def inconsistencies(audit: Audit) -> list[str]:
    """Why a `pass` does not follow from the rows and facts of its audit; empty where it does."""
    return list(_against(audit)) if audit.meta.verdict == "pass" else []


def _against(audit: Audit) -> Iterator[str]:
    meta, table = audit.meta, audit.table
    if meta.command not in _CERTIFY:
        yield f"`{meta.command}` certifies nothing"
    if not meta.encoder_fingerprint or meta.encoder_fingerprint.startswith("stand-in"):
        yield "no trained encoders were asked"
    if meta.reasons:
        yield "it names reasons against itself"
    if failed := rows(table, "status").count("failed"):
        yield many(failed, "caption failed", "captions failed")
    codes = {code for found in rows(table, "findings") for code in found}
    if errors := sorted(code for code in codes if kind_of(code).severity == "error"):
        yield f"captions with errors: {', '.join(errors)}"
    yield from _rows(table)
    yield from _limits(meta)
    places = standing_rows(table)
    for measure in dict.fromkeys((meta.limits.measure, "pooled")):  # the control is held against the latter
        for name, values in changed_sims(table, places, measure).items():
            if len(values) < len(places):
                without = many(len(places) - len(values), "changed caption has", "changed captions have")
                yield f"{without} no similarity in {name}"
            elif not all(math.isfinite(value) and abs(value) <= 1 + _SAME for value in values):
                yield f"a similarity in {name} is none"
            elif measure == meta.limits.measure:
                yield from _mean(meta, name, mean(values))
    misses = too_low(table, meta.limits)
    if low := sum(bool(misses[at]) for at in places):
        yield f"{many(low, 'caption is', 'captions are')} below the limit for single captions"
    cut = rows(table, "findings")
    if otherwise := sum(CUT in cut[at] for at in places):
        yield f"{many(otherwise, 'caption is', 'captions are')} cut otherwise than before"
    if meta.control is None:
        yield "no control: an older tagflow asked the encoders for no different captions"
        return
    for name in ENCODERS:
        similarity, error = meta.control.of(name)
        if not (abs(similarity) <= 1 + _SAME and 0 <= error <= 1):
            yield f"its control in {name} is none"
    for why in not_told_apart(meta.control, changed_sims(table, places, "pooled")):
        yield f"the encoders do not tell captions apart ({why})"


def _rows(table: pa.Table) -> Iterator[str]:
    """What is wrong with single rows: each must have both texts, and a file that holds one of them."""
    statuses = rows(table, "status")
    if other := sorted(set(statuses).difference(_FILE, ("failed",))):
        yield f"no caption has the status {other[0]!r}"
    texts = zip(rows(table, "original"), rows(table, "rewritten"), strict=True)
    if lacking := sum(None in both for both in texts):
        yield many(lacking, "caption lacks a text", "captions lack a text")
    columns = {name: rows(table, name) for name in ("sha256_file", *_FILE.values())}
    other_file = sum(
        status in _FILE and columns["sha256_file"][at] != columns[_FILE[status]][at]
        for at, status in enumerate(statuses)
    )
    if other_file:
        yield f"{many(other_file, 'file does', 'files do')} not hold the text that was measured"


def _limits(meta: Meta) -> Iterator[str]:
    """Limits that no run can be given."""
    limits = meta.limits
    if not all(0 <= limit <= 1 for limit in (limits.min_sim, limits.min_sim_each or 0.0)):
        yield "its limits are no limits of a similarity"


def _mean(meta: Meta, name: str, found: float | None) -> Iterator[str]:
    stated = meta.sim_te1_mean if name == "te1" else meta.sim_te2_mean
    if (found is None) != (stated is None) or (
        found is not None and stated is not None and not abs(found - stated) <= _SAME
    ):
        yield f"the mean similarity in {name} is stated as {stated}, and the rows come to {found}"
    elif found is not None and not found >= meta.limits.min_sim:
        yield f"the mean similarity in {name} is {found:.4f}, below its limit {meta.limits.min_sim:g}"
