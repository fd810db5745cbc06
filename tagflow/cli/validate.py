"""`tagflow validate`, its options and its report; open it for what it takes from the audit.

What is held against what is in tagflow/validate.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from tagflow.audit.drift import drift
from tagflow.audit.file import Audit, current_audit
from tagflow.cli import output
from tagflow.cli.build import options, vector_cache
from tagflow.cli.build import pipeline as build
from tagflow.cli.findings import Report, as_object, exit_code, tell_beside
from tagflow.cli.help import command
from tagflow.cli.history import recover_interrupted
from tagflow.cli.options import (
    FOLDER,
    EncoderOptions,
    OntologyOptions,
    OrderOptions,
    ResultOptions,
    TokenOptions,
    caption_option,
    collected,
    encoder_choice,
    encoder_options,
    load_ontology,
    ontology_options,
    result_options,
    suffix_of_captions,
    token_options,
)
from tagflow.cli.output import Progress
from tagflow.cli.run_report import counting, of_captions, of_control
from tagflow.config import load_config
from tagflow.dataset.survey import AUDIT_NAME, CAPTION_SUFFIX, survey
from tagflow.errors import AuditError
from tagflow.history.store import Store
from tagflow.validate import present
from tagflow.validate import validate as hold
from tagflow.write import Writing, now


@dataclass(frozen=True, kw_only=True)
class ValidateOptions(OntologyOptions, TokenOptions, ResultOptions, EncoderOptions):
    """What `tagflow validate` was asked."""

    folder: Path | None
    caption_extension: str | None = None


@command()
@click.argument("folder", metavar="[DIR]", type=FOLDER, required=False)
@encoder_options
@ontology_options
@caption_option
@token_options
@result_options
@collected(ValidateOptions)
def validate(asked: ValidateOptions) -> int:
    """Check that the captions in DIR are what the audit says, encode them against their originals, judge.

    DIR: else `dir` in tagflow.toml, else the current folder. Writes the audit and no caption. The ontology
    and the captions' suffix are those of the audit, unless others are named. What captions and images hold
    (leftovers, contradictions, broken images) is no part of that: `tagflow check` looks at it.
    """
    config = load_config(asked.config_file, asked.folder)
    folder = asked.folder or Path(config.path("dir") or ".")
    audit, store, started = current_audit(folder), Store(folder), now()
    of_audit = CAPTION_SUFFIX if audit is None else audit.meta.options.suffix
    found = survey(folder, suffix=suffix_of_captions(config, asked.caption_extension, of_audit))
    choice = encoder_choice(config, asked)
    named, gone = _its_ontology(_audit(folder), asked)
    strict = bool(config.get("strict", asked.strict, False))
    separator = None if audit is None else audit.meta.options.keep_tokens_separator
    chosen = options(config, OrderOptions(), asked, asked, separator=separator)
    progress = Progress()
    cached = vector_cache(config, choice, wanted=not asked.no_cache)
    with progress.shown(), cached as cache:
        pipeline = build(config, load_ontology(config, named), chosen, choice, progress, cache, keep=True)
        with store.locked():
            recover_interrupted(store)
            audit = _audit(folder)  # again: a recovery may have put an older one back
            outcome = hold(pipeline, found, audit)
            written = Writing(pipeline, outcome, store, "validate", started).audit_only()
    found_in = of_captions(written, folder)
    changed = [
        one.at(file=(folder / one.where.file).as_posix()) if one.where.file else one
        for one in drift(audit, present(pipeline, found, outcome, gone))
        if not one.code.startswith("caption-")  # those are findings of their captions
    ]
    alike = [one.at(file=folder.as_posix()) for one in of_control(written.meta, written.table)]
    findings = [*found_in, *changed, *alike]
    tell_beside([*counting(found_in, strict=strict), *changed])
    output.encoded(pipeline.pair)
    if written.meta.verdict != "pass":
        output.note(f"NOT CERTIFIED: {'; '.join(written.meta.reasons)}")
    if asked.as_json:
        told = {**output.facts(written, pipeline.pair), "settings": config.described()}
        report = Report("tagflow.validate/2", tuple(findings), told)
        output.as_json(as_object(report))
    else:
        output.out_lines(output.summary(written.table, written.meta, (one.code for one in findings)))
        if settings := config.described():
            output.out(f"settings    {output.visible(settings)}")
        output.out(f"audit       {written.audit}")
        line = f"besides     `tagflow check {folder}` looks at what captions and images hold"
        output.out(output.visible(line))
    return max(int(written.meta.verdict == "fail"), exit_code(findings, strict=strict))


def _its_ontology(audit: Audit, asked: OntologyOptions) -> tuple[OntologyOptions, str | None]:
    """The ontology and the overlay of the run that wrote the audit, where none was named here.

    With it the overlay's path, where the file is not there any more.
    """
    if asked.ontology_name is not None or asked.overlay is not None:
        return asked, None
    source, overlay = audit.meta.options.ontology, audit.meta.options.overlay
    gone = overlay if overlay and not Path(overlay).exists() else None
    return OntologyOptions(
        ontology_name=source, overlay=Path(overlay) if overlay and not gone else None
    ), gone


def _audit(folder: Path) -> Audit:
    audit = current_audit(folder)
    if audit is None:
        raise AuditError(
            f"{folder / AUDIT_NAME}: there is no audit", "run `tagflow run` or `tagflow reorder` first"
        )
    return audit
