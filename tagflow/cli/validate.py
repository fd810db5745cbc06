"""`tagflow validate`: the files against their audit, and both encoders' word on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from tagflow.cli.recovery import recovered
from tagflow.cli.run import result
from tagflow.config import load_config
from tagflow.drift import Drift, drift
from tagflow.errors import AuditError
from tagflow.sources.folder import AUDIT_NAME, survey
from tagflow.sources.store import Store
from tagflow.validate import present
from tagflow.validate import validate as hold
from tagflow.write import Written, now, write_audit

if TYPE_CHECKING:
    from tagflow.encoders import EncoderPair


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
    given, gone = _with_its_ontology(_audit(folder), given)
    progress = Progress()
    with progress.shown(), vector_cache(config, given, choice) as cache:
        pipeline = build(config, given, choice, progress, cache, keep=True)
        with store.locked():
            recovered(store)
            audit = _audit(folder)  # again: a recovery may have put an older one back
            outcome = hold(pipeline, found, audit)
            written = write_audit(pipeline, outcome, store, "validate", started)
    changed = drift(audit, present(pipeline, found, outcome, gone))
    strict = bool(config.get("strict", given["strict"], False))
    _tell(written, changed, pipeline.pair, strict=strict, as_json=given["as_json"])
    code = show.exit_code(written.table, failed=written.meta.verdict == "fail", strict=strict)
    return max(code, int(strict and bool(changed)))


def _tell(
    written: Written, changed: list[Drift], pair: EncoderPair | None, *, strict: bool, as_json: bool
) -> None:
    show.show_findings(written.table, ("error", "warning") if strict else ("error",))
    for one in changed:
        if not one.code.startswith("caption-"):  # those are findings of their captions
            show.warn(show.finding_line(one.where, one.code, one.detail))
    show.encoded(pair)
    if written.meta.verdict != "pass":
        show.note(f"NOT CERTIFIED: {'; '.join(written.meta.reasons)}")
    if as_json:
        seen = [{"where": one.where, "code": one.code, "detail": one.detail} for one in changed]
        show.as_json({**result(written, pair), "schema": "tagflow.validate/1", "drift": seen})
        return
    for line in show.summary(written.table, written.meta):
        show.out(line)
    show.out(f"audit       {written.audit}")


def _with_its_ontology(audit: Audit, given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The options, with the ontology and the overlay of the run that wrote the audit where none was named.

    With it the overlay's path, where the file is not there any more.
    """
    if given["ontology_name"] is not None or given["overlay"] is not None:
        return given, None
    source, overlay = (audit.meta.options.get(name) for name in ("ontology", "overlay"))
    gone = overlay if overlay and not Path(overlay).exists() else None
    file = Path(overlay) if overlay and not gone else None
    return {**given, "ontology_name": source, "overlay": file}, gone


def _audit(folder: Path) -> Audit:
    audit = current_audit(folder)
    if audit is None:
        raise AuditError(
            f"{folder / AUDIT_NAME}: there is no audit", "run `tagflow run` or `tagflow reorder` first"
        )
    return audit
