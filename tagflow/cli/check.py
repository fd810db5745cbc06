"""`tagflow check`, which reads and never writes; open it for its options, its report, or how fast it starts.

It is what pre-commit runs on every commit, so it must start fast: no PyTorch, no pandas, no vocabulary made
from scratch, and no ontology unless a tag has to be looked up in one.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pyarrow as pa

from tagflow.checks.run import check as run_checks
from tagflow.cli import output
from tagflow.cli.findings import FindingOptions, Report, chosen, exit_code, finding_options, tell
from tagflow.cli.help import command
from tagflow.cli.options import (
    FOLDER,
    OntologyOptions,
    SeparatorOptions,
    TokenOptions,
    caption_option,
    collected,
    limits,
    load_ontology,
    ontology_options,
    separator_options,
    suffix_of_captions,
    token_options,
    tokenizer_folder,
    triggers,
    vocabulary,
)
from tagflow.cli.output import Progress
from tagflow.cli.separator import keep_tokens_separator, note_absent
from tagflow.clip.tokenizer import Tokenizer
from tagflow.clip.vocabulary import Vocabulary
from tagflow.config import load_config
from tagflow.dataset.survey import AUDIT_NAME, by_root, survey, tree
from tagflow.errors import AuditError, UsageProblem
from tagflow.findings.finding import Finding
from tagflow.findings.wording import many
from tagflow.schema import rows
from tagflow.stages.count import Count
from tagflow.stages.trigger import Trigger, Triggers, detect, settle

if TYPE_CHECKING:
    from tagflow.audit.file import Audit


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions(FindingOptions, TokenOptions, OntologyOptions, SeparatorOptions):
    """What `tagflow check` was asked."""

    paths: tuple[Path, ...]
    triggers: tuple[str, ...]
    caption_extension: str | None
    config_file: Path | None
    deep: bool
    explain: str | None


@command()
@click.argument("paths", metavar="[PATHS]...", type=FOLDER, nargs=-1)
@click.option(
    "--trigger",
    "triggers",
    multiple=True,
    metavar="WORD",
    help="Belongs in captions that show the subject; may be given several times. `none`: look for none.",
)
@ontology_options
@separator_options
@caption_option
@token_options
@finding_options
@click.option(
    "--deep",
    is_flag=True,
    help="Decode every image wholly, and look for near copies. Needs the `images` extra.",
)
@click.option("--config", "config_file", type=FOLDER, metavar="FILE", help="Default: tagflow.toml.")
@click.option("--explain", metavar="CODE", help="The same as `tagflow rule CODE`; checks nothing.")
@collected(CheckOptions)
def check(asked: CheckOptions) -> int:
    """Look for faults in caption files, or in all of a folder. Default: the current folder.

    Where single captions are given, only they are reported on; what concerns a whole folder (the trigger,
    copies) is still asked of the folder. Nothing is ever written. Unknown tags are looked for where an
    ontology was named, here or in tagflow.toml.
    """
    if asked.explain is not None:
        if asked.paths:
            raise UsageProblem("--explain checks nothing", "give it a code and no folder")
        from tagflow.cli.rule import explanation

        output.out_lines(explanation(asked.explain))
        return 0
    here = load_config(asked.config_file, None)
    roots = by_root(asked.paths or (Path(here.path("dir") or "."),))
    progress = Progress()
    with _no_collector(), progress.shown():
        words = vocabulary(tokenizer_folder(here), hub=False, keep=False)
        parts = [_of_root(root, selected, words, asked, progress) for root, selected in roots.items()]
    captions = sum(part.captions for part in parts)
    findings = tuple(one for part in parts for one in part.findings)
    others = [path for part in parts for path in part.others]
    if asked.format == "text":
        known = {one.where.file for one in findings}
        for path in (path for path in others if path not in known):
            output.note(
                f"{path}: no caption (by its suffix, its name, or for want of an image); not looked at"
            )
        if captions and not all(part.ontology for part in parts):
            output.note(
                "no ontology was named, so unknown tags were not looked for (--ontology NAME, or `ontology` "
                "in tagflow.toml)"
            )
    taken = [
        one if len(roots) == 1 else replace(one, folder=(root / (one.folder or ".")).as_posix())
        for root, part in zip(roots, parts, strict=True)
        for one in part.triggers
    ]
    facts = {
        "captions": captions,
        "others": others,
        "triggers": [asdict(one) for one in taken],
        "ontology": parts[0].ontology or None,
    }
    line = f"trigger: {Triggers(tuple(taken)).described()}"
    tell(
        Report("tagflow.check/2", findings, facts, many(captions, "caption")),
        asked,
        after=[output.visible(line)],
    )
    return max(exit_code(part.findings, strict=part.strict) for part in parts)


@dataclass(frozen=True, slots=True)
class _Part:
    """What was found below one root. `others`: files that were given and are no captions.

    `ontology`: in which tags were looked up; empty where none was named.
    """

    captions: int
    findings: tuple[Finding, ...]
    others: tuple[str, ...]
    strict: bool
    triggers: tuple[Trigger, ...]
    ontology: str


@contextmanager
def _no_collector() -> Iterator[None]:
    """Leave out Python's search for cycles: it would walk CLIP's 100,000 words again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _of_root(
    root: Path, selected: set[str] | None, words: Vocabulary | None, asked: CheckOptions, progress: Progress
) -> _Part:
    config = load_config(asked.config_file, root)
    chosen((), asked, config)  # refuses unknown codes of the configuration before the work
    suffix = suffix_of_captions(config, asked.caption_extension)
    found = survey(root, empty=True, suffix=suffix)
    limit = limits(config, asked)

    def count(table: pa.Table) -> pa.Table:
        """Count with a tokenizer that knows the captions' words and no others."""
        texts = [text for text in rows(table, "text") if text is not None]
        known = None if words is None else Tokenizer(words, texts)
        return Count(known, limit.max_tokens, limit.warn_tokens)(table)

    named = asked.ontology_name is not None or asked.overlay is not None or "ontology" in config.values
    ontology = load_ontology(config, asked) if named else None
    previous = _previous(root)
    separator = keep_tokens_separator(config, asked, root, previous)
    named_triggers, may_detect = triggers(config, asked.triggers, previous)

    def taken(table: pa.Table) -> Triggers:
        """The triggers of the parsed folder, as a run would take them."""
        note_absent(separator, rows(table, "text"))
        return settle(named_triggers, lambda: detect(table), may_detect=may_detect)

    checked = run_checks(
        found,
        tree(root),
        count,
        taken,
        ontology,
        selected,
        progress.progress,
        deep=asked.deep,
        separator=separator,
    )
    output.note_folderless(named_triggers, root)
    if checked.descriptions_untrained and config.get("description", None) is None:
        output.note_descriptions(len(found.captions))
    if not found.captions and not checked.findings:
        survey(root, suffix=suffix)  # says what a folder without captions lacks
    strays = set(selected or ()).difference(checked.captions, found.descriptions)
    others = found.others if selected is None else sorted(strays)
    # With paths as the user would write them.
    findings = (one.at(file=(root / (one.where.file or ".")).as_posix()) for one in checked.findings)
    return _Part(
        len(checked.captions),
        chosen(findings, asked, config),
        tuple((root / path).as_posix() for path in others),
        bool(config.get("strict", asked.strict, False)),
        checked.triggers.taken,
        "" if ontology is None else ontology.name,
    )


def _previous(root: Path) -> Audit | None:
    """The folder's audit, which knows what was named once; a damaged one knows nothing."""
    if not (root / AUDIT_NAME).is_file():
        return None
    from tagflow.audit.file import read_audit

    with suppress(AuditError):  # `validate` names its fault
        return read_audit(root / AUDIT_NAME)
    return None
