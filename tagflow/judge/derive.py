"""A pass held against the rows of its audit; open it for a verdict that is said not to follow from them.

Whoever goes by an audit asks this first: a verdict is one word in a file, and must be what the rows come to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tagflow.audit.file import Audit, Meta, mean
from tagflow.findings.catalogue import kind_of
from tagflow.findings.wording import many
from tagflow.judge.control import not_told_apart
from tagflow.judge.judge import CUT, changed_sims, judged_sims, standing_rows
from tagflow.schema import rows

_SAME = 1e-9
_CERTIFY = ("run", "validate")


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
    places = standing_rows(table)
    changed = changed_sims(table, places, meta.limits.measure)
    for name, values in changed.items():
        if len(values) < len(places):
            missing = len(places) - len(values)
            yield f"{many(missing, 'changed caption has', 'changed captions have')} no similarity in {name}"
        elif not all(math.isfinite(value) and abs(value) <= 1 + _SAME for value in values):
            yield f"a similarity in {name} is none"
        else:
            yield from _mean(meta, name, mean(values))
    if meta.limits.min_sim_each is not None:
        sims = judged_sims(table, meta.limits.measure)
        low = sum(any(not value >= meta.limits.min_sim_each for value in sims[at]) for at in places)
        if low:
            yield f"{many(low, 'caption is', 'captions are')} below the limit for single captions"
    cut = rows(table, "findings")
    if otherwise := sum(CUT in cut[at] for at in places):
        yield f"{many(otherwise, 'caption is', 'captions are')} cut otherwise than before"
    if meta.control is not None:
        for why in not_told_apart(meta.control, changed_sims(table, places, "pooled")):
            yield f"the encoders do not tell captions apart ({why})"
    elif places:
        yield "no control: an older tagflow asked the encoders for no different captions"


def _mean(meta: Meta, name: str, found: float | None) -> Iterator[str]:
    stated = meta.sim_te1_mean if name == "te1" else meta.sim_te2_mean
    if (found is None) != (stated is None) or (
        found is not None and stated is not None and not abs(found - stated) <= _SAME
    ):
        yield f"the mean similarity in {name} is stated as {stated}, and the rows come to {found}"
    elif found is not None and not found >= meta.limits.min_sim:
        yield f"the mean similarity in {name} is {found:.4f}, below its limit {meta.limits.min_sim:g}"
