"""The findings that run, reorder and validate report; open it for where they come from, or which count."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa

from tagflow.audit.file import Meta, mean
from tagflow.checks.run import Look, beside_stages
from tagflow.dataset.survey import Survey, tree
from tagflow.findings.finding import Finding, of_caption
from tagflow.judge.control import above_limit, looks_alike
from tagflow.judge.judge import changed_sims, standing_rows
from tagflow.pipeline import Outcome, Pipeline
from tagflow.progress import Progress
from tagflow.schema import add, column_of, replace_rows, rows
from tagflow.stages.parse import parse_captions
from tagflow.write import Written


def of_captions(written: Written, root: Path) -> list[Finding]:
    """The findings of all captions, with paths as the user would write them."""
    columns = (rows(written.table, name) for name in ("path", "findings", "details"))
    return [
        of_caption((root / path).as_posix(), code, detail)
        for path, codes, details in zip(*columns, strict=True)
        for code, detail in zip(codes, details, strict=True)
    ]


def of_control(meta: Meta, table: pa.Table) -> list[Finding]:
    """What the control says of the limit, and of the folder's own captions."""
    if meta.control is None:
        return []
    sims = changed_sims(table, standing_rows(table), "pooled")
    alike = looks_alike(meta.control, {name: mean(values) for name, values in sims.items()})
    return [*above_limit(meta.control, meta.limits.min_sim), *alike]


def of_checks(
    pipeline: Pipeline,
    outcome: Outcome,
    found: Survey,
    selected: Collection[str] | None,
    progress: Progress,
) -> list[Finding]:
    """What `tagflow check` sees beside the stages, with paths as the user would write them."""
    table, separator = outcome.parsed, pipeline.options.keep_tokens_separator
    if table is None:  # a validation reads no caption anew
        return []
    # Where --clean tidied, or a description was set aside, the checks are of what the file holds; a byte
    # order mark and line ends that went change no tag and no place.
    pairs = list(zip(rows(table, "source"), rows(table, "held"), strict=True))
    texts = [source if held is not None and source == _plain(held) else held for source, held in pairs]
    table = add(table, text=texts, original=texts)
    if others := [at for at, (source, _) in enumerate(pairs) if source != texts[at]]:
        again = table.take(column_of(others, pa.int32()))
        table = replace_rows(table, others, parse_captions(again, separator=separator))
    look = Look(outcome.triggers, pipeline.ontology, selected, progress, separator=separator)
    beside = beside_stages(table, found, tree(found.root), look)
    of_texts = (
        one
        for path, group in beside.captions.items()
        if selected is None or path in selected
        for one in group
    )
    return [
        one.at(file=(found.root / (one.where.file or ".")).as_posix()) for one in (*of_texts, *beside.others)
    ]


def _plain(text: str) -> str:
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def counting(findings: Sequence[Finding], *, strict: bool) -> list[Finding]:
    """What makes the command end with 1; how many there are of all others stands in the summary."""
    return [one for one in findings if one.severity == "error" or (strict and one.severity == "warning")]
