"""Each caption's status and the folder's verdict; open it for why a run fails, or is not certified.

No other module makes a verdict. `--min-sim` holds for the mean of each encoder over the changed captions that
are to be written; where it fails nothing is written. `--min-sim-each` holds for single captions; one below it
keeps its original, or is written all the same and then nothing is certified (`--on-low write`). What comes
out only later is brought back here: `after_writing` the files that were left alone, `standing` what a
validation found in the files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from tagflow.audit.file import Control, Limits, Verdict, mean
from tagflow.captions.grammar import changed_lines
from tagflow.captions.leftovers import is_unread
from tagflow.clip.tokenizer import WINDOW
from tagflow.config import Measure
from tagflow.findings.catalogue import kind_of
from tagflow.findings.wording import many
from tagflow.judge.control import not_told_apart
from tagflow.schema import COLUMNS_OF, add, add_findings, rows, with_notes

ENCODERS = ("te1", "te2")
CUT = "tokens-cut-changed"
"""The finding on a caption of which the token limit cuts other tags than before."""

_DIFFERENT = frozenset({"tag-lost", "tag-added", "sentence-torn"})


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found: the verdict with its reasons, and both means (None where nothing changed).

    sim_error: how far similarities were seen to be from those in fp32; None where all are in fp32. control:
    what the encoders made of different captions; None where they were not asked.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    sim_te1_mean: float | None
    sim_te2_mean: float | None
    sim_error: float | None = None
    control: Control | None = None


def judge(
    table: pa.Table,
    limits: Limits,
    *,
    measured: bool,
    trained: bool,
    write_low: bool = False,
    sim_error: float | None = None,
    control: Control | None = None,
) -> tuple[pa.Table, Judgement]:
    """Give every caption its status and the folder its verdict.

    `measured` says that similarities were computed, `trained` that the encoders were trained ones: without
    both nothing is judged, kept back or certified. `write_low`: a caption below `min_sim_each` is not kept
    back. Status `rewritten` here means: is to be written. A caption that is kept leaves its relax level, but
    for level 1, which is the original.
    """
    gated = measured and trained
    low = too_low(table, limits) if gated else [[] for _ in range(table.num_rows)]
    table = add_findings(table, [[("similarity-low", ", ".join(why))] if why else [] for why in low])
    missed = [
        bool(why) or (gated and CUT in codes) for why, codes in zip(low, rows(table, "findings"), strict=True)
    ]
    kept = [misses and not write_low for misses in missed]
    texts = zip(
        *(rows(table, name) for name in ("text", "rewritten", "findings", "relax_level")), strict=True
    )
    table = _with_status(table, list(map(_status, texts, kept)))
    te1, te2 = (_mean(table, name) for name in COLUMNS_OF[limits.measure])
    failed = [
        f"mean similarity in {name} is {value:.4f}, below {limits.min_sim:g}"
        for name, value in (("te1", te1), ("te2", te2))
        if value is not None and not value >= limits.min_sim
    ]
    if gated and failed:
        status = ["kept" if status == "rewritten" else status for status in rows(table, "status")]
        table = _with_status(table, status)
        te1, te2 = (None if mean is None or math.isnan(mean) else mean for mean in (te1, te2))
        return table, Judgement("fail", tuple(failed), te1, te2, sim_error, control)
    written_low = sum(misses and not back for misses, back in zip(missed, kept, strict=True))
    reasons = list(_uncertified(table, written_low, measured=measured, trained=trained))
    if control is not None and (
        alike := not_told_apart(control, changed_sims(table, standing_rows(table), "pooled"))
    ):
        reasons.append(f"the encoders do not tell captions apart ({'; '.join(alike)})")
    verdict: Verdict = "uncertified" if reasons else "pass"
    return table, Judgement(verdict, tuple(reasons), te1, te2, sim_error, control)


def after_writing(
    table: pa.Table, judgement: Judgement, left_alone: Mapping[str, str]
) -> tuple[pa.Table, Judgement]:
    """The batch and the judgement once the files were replaced; with one left alone nothing is certified.

    left_alone: captions whose files were changed meanwhile, or must not be, by path, with the finding's code.
    """
    if not left_alone:
        return table, judgement
    paths, before = rows(table, "path"), rows(table, "status")
    status = ["failed" if path in left_alone else status for path, status in zip(paths, before, strict=True)]
    known = _with_errors(table)
    table = with_notes(add(table, status=status), {path: [(code, "")] for path, code in left_alone.items()})
    reasons = (*(reason for reason in judgement.reasons if reason not in known), *_with_errors(table))
    return table, replace(judgement, verdict="uncertified", reasons=reasons)


def standing(judgement: Judgement, low: int) -> Judgement:
    """The judgement of a validation: a text too far from its original cannot be kept back, and fails.

    low: how many captions below `min_sim_each` stand in their files.
    """
    if not low or judgement.verdict == "fail":
        return judgement
    what = many(low, "caption misses", "captions miss")
    reason = f"{what} a limit for single captions; `tagflow run` keeps the original there"
    return replace(judgement, verdict="fail", reasons=(reason,))


def counted(table: pa.Table, limits: Limits, *, write_low: bool = False) -> list[int]:
    """Which rows the means are taken over, where encoders are judged."""
    table, _ = judge(table, replace(limits, min_sim=-1.0), measured=True, trained=True, write_low=write_low)
    return standing_rows(table)


def changed_sims(table: pa.Table, places: Sequence[int], measure: Measure) -> dict[str, list[float]]:
    """What each encoder made of the captions in these rows; without those that it made nothing of."""
    columns = {name: rows(table, column) for name, column in zip(ENCODERS, COLUMNS_OF[measure], strict=True)}
    return {
        name: [value for at in places if (value := column[at]) is not None]
        for name, column in columns.items()
    }


def judged_sims(table: pa.Table, measure: Measure) -> list[list[float]]:
    """For each row the similarities that `min_sim_each` holds for."""
    return [[value for _, value in row if value is not None] for row in _judged(table, measure)]


def too_low(table: pa.Table, limits: Limits) -> list[list[str]]:
    """For each row which of a changed caption's similarities miss `min_sim_each`, in words."""
    return [list(_too_low(row, limits)) for row in _judged(table, limits.measure)]


def _with_status(table: pa.Table, status: list[str]) -> pa.Table:
    levels = [
        level if now in ("rewritten", "unchanged") or (now, level) == ("kept", 1) else None
        for level, now in zip(rows(table, "relax_level"), status, strict=True)
    ]
    return add(table, status=status, relax_level=levels)


def _judged(table: pa.Table, measure: Measure) -> Iterator[list[tuple[str, float | None]]]:
    """For each row the similarities that `min_sim_each` holds for: of changed captions.

    Over 75 tokens `sim_unet` counts, too, where pooled vectors are judged: they see the first window alone.
    """
    if "sim_te1" not in table.column_names:
        yield from ([] for _ in range(table.num_rows))
        return
    columns = (*COLUMNS_OF[measure], "sim_unet", "tokens", "original", "rewritten")
    for te1, te2, unet, tokens, original, rewritten in zip(
        *(rows(table, name) for name in columns), strict=True
    ):
        if original == rewritten:
            yield []
            continue
        long = measure == "pooled" and (tokens or 0) > WINDOW
        yield [("te1", te1), ("te2", te2), *([("unet", unet)] if long else [])]


def _too_low(judged: Sequence[tuple[str, float | None]], limits: Limits) -> Iterator[str]:
    """Which of a changed caption's similarities miss `min_sim_each`."""
    if limits.min_sim_each is None:
        return
    for name, value in judged:
        if value is None:  # not to be had, so not proven
            yield f"sim_{name} unknown"
        elif not value >= limits.min_sim_each:
            yield f"sim_{name} {value:.4f} < {limits.min_sim_each:g}"


def _status(row: tuple[Any, ...], low: bool) -> str:
    text, rewritten, findings, relax_level = row
    if text is None or not _DIFFERENT.isdisjoint(findings):
        return "failed"
    if low or relax_level == 1:
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
    return mean(math.nan if values[at] is None else values[at] for at in standing_rows(table))


def standing_rows(table: pa.Table) -> list[int]:
    """The rows that the means are taken over: captions that differ from their original and stand that way."""
    columns = (rows(table, column) for column in ("status", "original", "rewritten"))
    return [
        at
        for at, (status, original, rewritten) in enumerate(zip(*columns, strict=True))
        if status in ("rewritten", "unchanged") and any(changed_lines(original, rewritten))
    ]


# The reasons, as a user reads them.


def _uncertified(table: pa.Table, written_low: int, *, measured: bool, trained: bool) -> Iterator[str]:
    if not measured:
        yield "only the structure was checked; no encoder was asked"
    elif not trained:
        yield "the stand-in encoders are untrained; their similarities prove nothing"
    yield from _with_errors(table)
    texts = [text for text in rows(table, "text") if text and text.strip()]
    unread = sum(map(is_unread, texts))
    if 2 * unread > len(texts):
        what = many(unread, "caption is", "captions are")
        yield (
            f"{what} mostly in a script that SDXL's text encoders were not trained on: they read pieces of "
            "bytes, and similarities say nothing of what is meant"
        )
    if written_low:
        what = many(written_low, "caption was", "captions were")
        yield f"{what} written all the same that miss a limit for single captions"


def _with_errors(table: pa.Table) -> list[str]:
    """The reason that some captions have findings of severity error; none where no caption has."""
    codes = {code for found in rows(table, "findings") for code in found}
    errors = sorted(code for code in codes if kind_of(code).severity == "error")
    return [f"captions with errors: {', '.join(errors)}"] if errors else []
