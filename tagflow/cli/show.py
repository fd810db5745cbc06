"""What a person sees: progress and notes on stderr, the result on stdout."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from tagflow.findings import CATALOGUE
from tagflow.schema import rows

if TYPE_CHECKING:
    import pyarrow as pa

    from tagflow.audit import Meta
    from tagflow.encoders import EncoderPair

_SHOWN = 20  # findings named one by one before the rest is only counted
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_DETAIL = 500  # characters of what was seen, in a message: a tag may be a whole book. JSON has all of it
_CELL = 60  # characters of a tag in a table


def out(text: str) -> None:
    """One line on stdout. A reader that has seen enough (`| head`) changes no exit code."""
    try:
        click.echo(text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def out_lines(lines: Iterable[str]) -> None:
    """Lines on stdout, written at once: a thousand writes take as long as finding what to write."""
    text = "\n".join(lines)
    if text:
        out(text)


def warn(text: str) -> None:
    """One line on stderr."""
    with suppress(BrokenPipeError):
        click.echo(text, err=True)


def note(text: str) -> None:
    """One line on stderr that says who speaks."""
    warn(f"tagflow: {visible(text)}")


def encoded(pair: EncoderPair | None) -> None:
    """Say how much the encoders had to do; both count, so a short line is two windows."""
    if pair is not None and any(pair.windows()):
        note("encoded {} token windows, {} from the cache".format(*pair.windows()))


def visible(text: str) -> str:
    """The text with control characters written out: a file name may hold a line end, or steer a terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def short(text: str) -> str:
    """The text on part of a line, for a table."""
    seen = visible(text)
    return seen if len(seen) <= _CELL else seen[: _CELL - 1] + "…"


def as_json(value: object) -> None:
    """One JSON object on one line of stdout."""
    out(json.dumps(value, ensure_ascii=False))


def summary(table: pa.Table, meta: Meta) -> Iterator[str]:
    """An audit in a few lines."""
    counts = Counter(rows(table, "status"))
    parts = ", ".join(f"{counts[status]} {status}" for status in ("rewritten", "unchanged", "kept", "failed"))
    yield f"captions    {table.num_rows}: {parts}"
    if meta.sim_te1_mean is not None and meta.sim_te2_mean is not None:
        yield (
            f"similarity  te1 {meta.sim_te1_mean:.4f}, te2 {meta.sim_te2_mean:.4f} "
            f"(mean of the changed captions; limit {meta.limits.min_sim:g})"
        )
    if meta.options.get("sim_error") is not None:
        exact = rows(table, "sim_dtype").count("fp32")
        yield (
            f"precision   {meta.options['dtype']}; {exact} captions in fp32, near a limit or to compare "
            f"(largest difference {meta.options['sim_error']:.2g})"
        )
    if rungs := relaxed(table):
        parts = ", ".join(f"{count} to rung {rung}" for rung, count in rungs)
        yield f"relaxed     {sum(count for _, count in rungs)} captions: {parts} (1: the original)"
    tokens = [count for count in rows(table, "tokens") if count is not None]
    if tokens:
        over = sum(count > 75 for count in tokens)
        yield f"tokens      longest {max(tokens)} of {meta.limits.max_tokens}; {over} captions over 75"
    found = Counter(code for codes in rows(table, "findings") for code in codes)
    if found:
        yield "findings    " + ", ".join(f"{code} {count}" for code, count in found.most_common())
    if meta.encoders:
        yield f"encoders    {meta.encoders}"
    yield f"verdict     {meta.verdict.upper()}" + (f": {'; '.join(meta.reasons)}" if meta.reasons else "")


def relaxed(table: pa.Table) -> list[tuple[int, int]]:
    """Each rung that captions were relaxed to, strictest first, and how many stand there."""
    columns = zip(rows(table, "rung"), rows(table, "findings"), strict=True)
    counts = Counter(rung for rung, codes in columns if rung is not None and "order-relaxed" in codes)
    return sorted(counts.items(), reverse=True)


def show_findings(table: pa.Table, severities: tuple[str, ...]) -> None:
    """The findings of these severities on stderr, with their cures; many are cut short."""
    found = [
        (path, code, detail)
        for path, codes, details in zip(
            *(rows(table, name) for name in ("path", "findings", "details")), strict=True
        )
        for code, detail in zip(codes, details, strict=True)
        if CATALOGUE[code].severity in severities
    ]
    for path, code, detail in found[:_SHOWN]:
        warn(finding_line(path, code, detail))
    if len(found) > _SHOWN:
        note(f"and {len(found) - _SHOWN} more; `tagflow audit DIR --json` has them all")


def finding_line(path: str, code: str, detail: str) -> str:
    """One finding on one line: where, how bad, what, and what cures it."""
    return visible(f"{path}: {CATALOGUE[code].severity}: {code}: {finding_message(code, detail)}")


def finding_message(code: str, detail: str) -> str:
    """What is wrong, what exactly was seen, and what cures it."""
    kind = CATALOGUE[code]
    seen = f" ({detail if len(detail) <= _DETAIL else detail[:_DETAIL] + '…'})" if detail else ""
    cure = f"; cure: {kind.cure}" if kind.cure else ""
    return f"{kind.title}{seen}{cure}"


def exit_code(table: pa.Table, *, failed: bool, strict: bool) -> int:
    """1 where a gate failed or a finding is an error (with `strict`: or a warning), else 0."""
    counted = {"error", "warning"} if strict else {"error"}
    codes = {code for codes in rows(table, "findings") for code in codes}
    return int(failed or any(CATALOGUE[code].severity in counted for code in codes))
