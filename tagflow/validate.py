"""Validate: are the files what the audit says, and do the encoders still see the originals in them?

No caption is written; the audit is written anew, with its similarity columns filled and a verdict.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa

from tagflow.audit.drift import Present
from tagflow.audit.file import Audit, Meta
from tagflow.dataset.survey import Survey
from tagflow.engines.local import run_stages
from tagflow.history.originals import OriginalsIndex
from tagflow.judge.judge import Judgement
from tagflow.pipeline import Outcome, Pipeline
from tagflow.schema import add, add_findings, rows
from tagflow.stages.classify import Classify
from tagflow.stages.extract import extract
from tagflow.stages.parse import Parse


def validate(pipeline: Pipeline, found: Survey, audit: Audit) -> Outcome:
    """Hold a folder against its audit."""
    listener = pipeline.listener
    earlier = OriginalsIndex(found, audit, pipeline.certifies, _keeps_its_rung)
    table = extract(found, audit, None, listener.progress("reading"), earlier, against_audit=True)
    table = add(table, rewritten=rows(table, "text"), sha256_rewritten=rows(table, "sha256_read"))
    classify = Classify(pipeline.ontology, (*pipeline.options.triggers, *_triggers(audit.meta.options)))
    stages = (Parse(), classify, pipeline.options.count(pipeline.tokenizer))
    table = run_stages(table, stages, listener.progress("checking"))
    tidied = earlier.tidied or bool(audit.meta.options.get("tidied"))
    table, judged = pipeline.judged(table, tidied=tidied)
    table, judged = _standing(table, audit, judged)
    said = audit.meta.options
    images = said.get("images")
    return Outcome(
        table,
        judged,
        said.get("detected_trigger"),
        tidied,
        # What drifted from the audit must be noticed the next time, too: only a run makes it the new state.
        tuple(map(str, images)) if isinstance(images, list) else None,
        said.get("order_hash") or audit.meta.ontology_hash,
    )


def present(pipeline: Pipeline, found: Survey, outcome: Outcome, missing_overlay: str | None) -> Present:
    """The dataset as a validation has just seen it, to be held against the audit."""
    read = zip(rows(outcome.table, "path"), rows(outcome.table, "sha256_read"), strict=True)
    there = set(found.captions)
    return Present(
        {path: sha for path, sha in read if path in there},
        found.images,
        pipeline.ontology.hash,
        None if pipeline.pair is None else pipeline.pair.fingerprint,
        missing_overlay,
    )


def _keeps_its_rung(meta: Meta, rung: int | None) -> bool:
    """Nothing is sorted here, so a relaxed text that was certified is no less an original than another."""
    return True


def _triggers(options: dict[str, Any]) -> list[str]:
    """The triggers of the run that wrote an audit."""
    return [str(word) for word in (*options.get("triggers", ()), options.get("detected_trigger")) if word]


def _standing(table: pa.Table, audit: Audit, judged: Judgement) -> tuple[pa.Table, Judgement]:
    """Nothing can be kept back any more: a text too far from its original stands in its file, and fails."""
    low = rows(table, "status").count("kept")
    known = audit.by_path()
    paths = rows(table, "path")
    table = add(
        table,
        status=[
            _status(status, known.get(path))
            for path, status in zip(paths, rows(table, "status"), strict=True)
        ],
        moved=[known[path]["moved"] if path in known else 0 for path in paths],
        rung=[known[path]["rung"] if path in known else None for path in paths],
        # What the audit did not vouch for, it must not vouch for the next time either.
        sha256_file=[known[path]["sha256_file"] if path in known else None for path in paths],
    )
    table = add_findings(table, [_relaxed(known.get(path)) for path in paths])
    if low and judged.verdict != "fail":
        reason = (
            f"{low} captions are below the limit for single captions; `tagflow run` keeps their originals"
        )
        judged = replace(judged, verdict="fail", reasons=(reason,))
    return table, judged


def _relaxed(known: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The audit's note that a caption stands in a coarser order: later runs ask for it."""
    noted = [] if known is None else zip(known["findings"], known["details"], strict=False)
    return [(code, detail) for code, detail in noted if code == "order-relaxed"]


def _status(status: str, known: dict[str, Any] | None) -> str:
    """What the audit says became of a caption; this command changes no caption's status but to `failed`."""
    if status == "failed" or known is None or known["status"] == "failed":
        return status
    return str(known["status"])
