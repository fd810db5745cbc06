"""Judge: which captions are written, whether the gate holds, and what may be said of the folder.

`--min-sim` holds for the mean of each encoder over the changed captions that are to be written; where it
fails nothing is written. `--min-sim-each` holds for single captions; one below it keeps its original, or is
written all the same and then nothing is certified (`--on-low write`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from tagflow.audit.file import Limits, Verdict, mean
from tagflow.captions.grammar import changed_lines
from tagflow.clip.tokenizer import WINDOW
from tagflow.findings.catalogue import kind_of
from tagflow.schema import add, add_findings, rows

_DIFFERENT = frozenset({"tag-lost", "tag-added"})


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found: the verdict with its reasons, and both means (None where nothing changed).

    sim_error: how far similarities were seen to be from those in fp32; None where all are in fp32.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    sim_te1_mean: float | None
    sim_te2_mean: float | None
    sim_error: float | None = None


def judge(
    table: pa.Table, limits: Limits, *, measured: bool, trained: bool, write_low: bool = False
) -> tuple[pa.Table, Judgement]:
    """Give every caption its status and the folder its verdict.

    `measured` says that similarities were computed, `trained` that the encoders were trained ones: without
    both nothing is judged, kept back or certified. `write_low`: a caption below `min_sim_each` is not kept
    back. Status `rewritten` here means: is to be written. A caption that is kept leaves its rung, but for
    rung 1, which is the original.
    """
    gated = measured and trained
    low = [list(_too_low(row, limits)) if gated else [] for row in _sims(table)]
    table = add_findings(table, [[("similarity-low", ", ".join(why))] if why else [] for why in low])
    kept = [bool(why) and not write_low for why in low]
    table = _with_status(table, list(map(_status, _texts(table), kept)))
    te1, te2 = _mean(table, "sim_te1"), _mean(table, "sim_te2")
    if gated and (failed := list(_failed(te1, te2, limits))):
        status = ["kept" if one == "rewritten" else one for one in rows(table, "status")]
        table = _with_status(table, status)
        means = (None if value is None or math.isnan(value) else value for value in (te1, te2))
        return table, Judgement("fail", tuple(failed), *means)
    reasons = (*_uncertified(table, measured=measured, trained=trained), *_written_low(low, kept))
    return table, Judgement("uncertified" if reasons else "pass", reasons, te1, te2)


def counted(table: pa.Table, limits: Limits, *, write_low: bool = False) -> list[int]:
    """Which rows the means are taken over, where encoders are judged."""
    table, _ = judge(table, replace(limits, min_sim=-1.0), measured=True, trained=True, write_low=write_low)
    return _counted(table)


def judged_sims(table: pa.Table) -> list[list[float]]:
    """For each row the similarities that `min_sim_each` holds for."""
    return [[value for _, value in _judged(row) if value is not None] for row in _sims(table)]


def _texts(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(rows(table, name) for name in ("text", "rewritten", "findings", "rung")), strict=True)


def _with_status(table: pa.Table, status: list[str]) -> pa.Table:
    rungs = [
        rung if one in ("rewritten", "unchanged") or (one, rung) == ("kept", 1) else None
        for rung, one in zip(rows(table, "rung"), status, strict=True)
    ]
    return add(table, status=status, rung=rungs)


def _sims(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    columns = ("sim_te1", "sim_te2", "sim_unet", "tokens", "original", "rewritten")
    if "sim_te1" not in table.column_names:
        return iter([(None,) * len(columns)] * table.num_rows)
    return zip(*(rows(table, name) for name in columns), strict=True)


def _judged(row: tuple[Any, ...]) -> list[tuple[str, float | None]]:
    """The similarities of a changed caption that `min_sim_each` holds for. Over 75 tokens `sim_unet` counts,
    too: the pooled vectors see only the first window."""
    te1, te2, unet, tokens, original, rewritten = row
    if original == rewritten:
        return []
    return [("te1", te1), ("te2", te2), *([("unet", unet)] if (tokens or 0) > WINDOW else [])]


def _too_low(row: tuple[Any, ...], limits: Limits) -> Iterator[str]:
    """Which of a changed caption's similarities miss `min_sim_each`."""
    if limits.min_sim_each is None:
        return
    for name, value in _judged(row):
        if value is None:  # not to be had, so not proven
            yield f"sim_{name} unknown"
        elif not value >= limits.min_sim_each:
            yield f"sim_{name} {value:.4f} < {limits.min_sim_each:g}"


def _status(row: tuple[Any, ...], low: bool) -> str:
    text, rewritten, findings, rung = row
    if text is None or not _DIFFERENT.isdisjoint(findings):
        return "failed"
    if low or rung == 1:
        return "kept"
    return "unchanged" if rewritten == text else "rewritten"


def _mean(table: pa.Table, name: str) -> float | None:
    """The mean over the captions that differ from their original and are to stand that way.

    What differs in a BOM, line ends or white space at them is exactly 1 and would only thin the mean out.
    One of them without a similarity makes it NaN, which passes no limit.
    """
    if name not in table.column_names:
        return None
    values = rows(table, name)
    return mean(math.nan if values[at] is None else values[at] for at in _counted(table))


def _counted(table: pa.Table) -> list[int]:
    columns = (rows(table, column) for column in ("status", "original", "rewritten"))
    return [
        at
        for at, (status, original, rewritten) in enumerate(zip(*columns, strict=True))
        if status in ("rewritten", "unchanged") and any(changed_lines(original, rewritten))
    ]


def _failed(te1: float | None, te2: float | None, limits: Limits) -> Iterator[str]:
    for name, value in (("te1", te1), ("te2", te2)):
        if value is not None and not value >= limits.min_sim:
            yield f"mean similarity in {name} is {value:.4f}, below {limits.min_sim:g}"


def _uncertified(table: pa.Table, *, measured: bool, trained: bool) -> Iterator[str]:
    if not measured:
        yield "only the structure was checked; no encoder was asked"
    elif not trained:
        yield "the stand-in encoders are untrained; their similarities prove nothing"
    errors = error_codes(rows(table, "findings"))
    if errors:
        yield "captions with errors: " + ", ".join(errors)


def _written_low(low: Sequence[Sequence[str]], kept: Sequence[bool]) -> Iterator[str]:
    written = sum(bool(why) and not back for why, back in zip(low, kept, strict=True))
    if written:
        yield f"{written} captions below the limit for single captions were written all the same"


def error_codes(findings: Sequence[Sequence[str]]) -> list[str]:
    """The codes of severity error among all findings, each once."""
    return sorted({code for codes in findings for code in codes if kind_of(code).severity == "error"})
