"""`tagflow validate`: the files against their audit, and both encoders' word on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tagflow.audit import Audit, current_audit
from tagflow.cli import show
from tagflow.cli.assemble import pipeline as build
from tagflow.cli.assemble import vector_cache
from tagflow.cli.options import (
    FOLDER,
    encoder_choice,
    encoder_options,
    ontology_options,
    result_options,
    token_options,
)
from tagflow.cli.progress import Progress
from tagflow.cli.run import result
from tagflow.config import load_config
from tagflow.errors import AuditError
from tagflow.sources.folder import AUDIT_NAME, survey
from tagflow.sources.store import Store
from tagflow.validate import validate as hold
from tagflow.write import now, write_audit


@click.command()
@click.argument("folder", metavar="[DIR]", type=FOLDER, required=False)
@encoder_options
@ontology_options
@token_options
@result_options
def validate(folder: Path | None, **given: Any) -> int:
    """Check that the captions in DIR are what the audit says, encode them against their originals, judge.

    DIR: else `dir` in tagflow.toml, else the current folder. Writes the audit and no caption. The ontology is
    that of the audit, unless another one is named here.
    """
    config = load_config(given["config_file"], folder)
    folder = folder or Path(config.path("dir") or ".")
    found, store, started = survey(folder), Store(folder), now()
    choice = encoder_choice(config, given)
    audit = _audit(folder)
    given = _with_its_ontology(audit, given)
    progress = Progress()
    with progress.shown(), vector_cache(config, given, choice) as cache:
        pipeline = build(config, given, choice, progress, cache, keep=True)
        if pipeline.ontology.hash != audit.meta.ontology_hash:
            show.note(f"the ontology {pipeline.ontology.name} is not as it was when the audit was written")
        with store.locked():
            show.recovered(store)
            outcome = hold(
                pipeline, found, _audit(folder)
            )  # again: a recovery may have put an older one back
            written = write_audit(pipeline, outcome, store, "validate", started)
    strict = bool(config.get("strict", given["strict"], False))
    show.show_findings(written.table, ("error", "warning") if strict else ("error",))
    show.encoded(pipeline.pair)
    if written.meta.verdict != "pass":
        show.note(f"NOT CERTIFIED: {'; '.join(written.meta.reasons)}")
    if given["as_json"]:
        show.as_json({**result(written, pipeline.pair), "schema": "tagflow.validate/1"})
    else:
        for line in show.summary(written.table, written.meta):
            show.out(line)
        show.out(f"audit       {written.audit}")
    return show.exit_code(written.table, failed=written.meta.verdict == "fail", strict=strict)


def _with_its_ontology(audit: Audit, given: dict[str, Any]) -> dict[str, Any]:
    """The options, with the ontology and the overlay of the run that wrote the audit where none was named."""
    if given["ontology_name"] is not None or given["overlay"] is not None:
        return given
    source, overlay = (audit.meta.options.get(name) for name in ("ontology", "overlay"))
    return {**given, "ontology_name": source, "overlay": overlay and Path(overlay)}


def _audit(folder: Path) -> Audit:
    audit = current_audit(folder)
    if audit is None:
        raise AuditError(
            f"{folder / AUDIT_NAME}: there is no audit", "run `tagflow run` or `tagflow reorder` first"
        )
    return audit
