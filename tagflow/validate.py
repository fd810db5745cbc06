"""`tagflow validate`: files held against their audit; open it for what the new audit keeps of the old one.

Are the files what the audit says, and do the encoders still see the originals in them? No caption is written;
the audit is written anew, with its similarity columns filled and a verdict.
"""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from tagflow.audit.drift import Present
from tagflow.audit.file import Audit
from tagflow.dataset.survey import Survey
from tagflow.engines.local import run_stages
from tagflow.history.originals import OriginalsIndex
from tagflow.judge.judge import standing
from tagflow.pipeline import Outcome, Pipeline, follows
from tagflow.schema import add, add_findings, rows
from tagflow.stages.classify import Classify
from tagflow.stages.describe import set_aside
from tagflow.stages.extract import extract
from tagflow.stages.parse import parse_captions
from tagflow.stages.trigger import Trigger, Triggers


def validate(pipeline: Pipeline, survey: Survey, audit: Audit) -> Outcome:
    """Hold a folder against its audit."""
    then = audit.meta.options
    # Nothing is sorted here, so a relaxed text that was certified is no less an original than another.
    earlier = OriginalsIndex(survey, audit, pipeline.certifies, lambda meta, relax_level: True, follows)
    table = extract(survey, audit, None, pipeline.progress("reading"), earlier, against_audit=True)
    separator = pipeline.options.keep_tokens_separator
    table = set_aside(table, join=False, separator=separator)
    table = add(table, rewritten=rows(table, "text"), sha256_rewritten=rows(table, "sha256_read"))
    named = [one.word for one in pipeline.options.triggers]
    classify = Classify(pipeline.ontology, (*named, *then.all_triggers))
    parse = partial(parse_captions, separator=separator)
    stages = (parse, classify, pipeline.put_back, pipeline.options.count(pipeline.tokenizer))
    table = run_stages(table, stages, pipeline.progress("checking"))
    tidied = earlier.tidied or then.tidied
    gate = pipeline.gate(audit, tidied=tidied, sentences_stay=then.sentences_stay)
    table, judgement = gate.finally_judge(gate.recheck(gate.measure(table)))
    low = rows(table, "status").count("kept")
    return Outcome(
        _as_audited(table, audit),
        standing(judgement, low),
        Triggers(tuple(Trigger(word, "detected") for word in then.all_detected)),
        tidied,
        then.suffix,
        # What drifted from the audit must be noticed the next time, too: only a run makes it the new state.
        then.images,
        then.order_hash or audit.meta.ontology_hash,
        then.sentences_stay,
    )


def present(pipeline: Pipeline, survey: Survey, outcome: Outcome, missing_overlay: str | None) -> Present:
    """The dataset as a validation has just seen it, to be held against the audit."""
    read = zip(rows(outcome.table, "path"), rows(outcome.table, "sha256_read"), strict=True)
    there = set(survey.captions)
    return Present(
        {path: sha for path, sha in read if path in there},
        survey.images,
        pipeline.ontology.hash,
        None if pipeline.pair is None else pipeline.pair.fingerprint,
        missing_overlay,
    )


def _as_audited(table: pa.Table, audit: Audit) -> pa.Table:
    """The batch with what a run decided and a validation does not: status, relax level, digests."""
    known = audit.by_path()
    paths = rows(table, "path")
    table = add(
        table,
        # This command changes no caption's status but to `failed`.
        status=[
            known[path]["status"] if path in known and "failed" not in (now, known[path]["status"]) else now
            for path, now in zip(paths, rows(table, "status"), strict=True)
        ],
        moved=[known[path]["moved"] if path in known else 0 for path in paths],
        relax_level=[known[path]["relax_level"] if path in known else None for path in paths],
        # What the audit did not vouch for, it must not vouch for the next time either.
        sha256_file=[known[path]["sha256_file"] if path in known else None for path in paths],
    )
    # The audit's note that a caption stands in a coarser order: later runs ask for it.
    noted = (
        [] if path not in known else zip(known[path]["findings"], known[path]["details"], strict=False)
        for path in paths
    )
    return add_findings(table, [[one for one in notes if one[0] == "order-relaxed"] for notes in noted])
