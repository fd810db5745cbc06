"""`tagflow check`: faults in captions and datasets, without torch or writing. For people and hooks."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from tagflow.audit.file import Limits
from tagflow.checks.run import Checked
from tagflow.checks.run import check as look
from tagflow.cli.findings import FORMATS, Found, Report, chosen_codes, explanation, tell
from tagflow.cli.options import (
    FOLDER,
    limits,
    load_ontology,
    ontology_name,
    overlay_file,
    result_options,
    token_options,
    tokenizer_folder,
    triggers,
    vocabulary,
)
from tagflow.cli.output import out
from tagflow.clip.tokenizer import Tokenizer
from tagflow.clip.vocabulary import Vocabulary
from tagflow.config import Config, load_config
from tagflow.dataset.survey import by_root, survey, tree
from tagflow.errors import UsageProblem
from tagflow.findings.finding import CATALOGUE
from tagflow.schema import rows
from tagflow.stages.count import Count
from tagflow.stages.trigger import candidate, detect_trigger


@click.command()
@click.argument("paths", metavar="[PATHS]...", type=FOLDER, nargs=-1)
@click.option(
    "--select",
    multiple=True,
    metavar="CODES",
    help="Only these findings: codes with commas between; may be given several times.",
)
@click.option("--ignore", multiple=True, metavar="CODES", help="All findings but these.")
@click.option(
    "--trigger",
    "triggers",
    multiple=True,
    metavar="WORD",
    help="Say which captions lack it; may be given several times. `none`: look for no trigger.",
)
@token_options
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: text.")
@result_options
@click.option("--explain", metavar="CODE", help="Say what a finding means and what cures it; check nothing.")
def check(paths: tuple[Path, ...], *, explain: str | None, form: str | None, **given: Any) -> int:
    """Look for faults in caption files, or in all of a folder. Default: the current folder.

    Where single captions are given, only they are reported on; what concerns a whole folder (the trigger,
    copies) is still asked of the folder. Nothing is ever written.
    """
    if explain is not None:
        if paths:
            raise UsageProblem("--explain checks nothing", "give it a code and no folder")
        for line in explanation(explain):
            out(line)
        return 0
    if given["as_json"] and form not in (None, "json"):
        raise UsageProblem(f"--json and --format {form} are two results", "give one of them")
    here = load_config(given["config_file"], None)
    roots = by_root(paths or (Path(here.path("dir") or "."),))
    with _no_collector():
        words = vocabulary(tokenizer_folder(here), hub=False, keep=False)
        parts = [_of_root(root, selected, words, given) for root, selected in roots.items()]
    tell([report for report, _ in parts], "json" if given["as_json"] else form or "text")
    return max(code for _, code in parts)


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
    root: Path, selected: set[str] | None, words: Vocabulary | None, given: dict[str, Any]
) -> tuple[Report, int]:
    """What was found in one folder, and the exit code for it."""
    config = load_config(given["config_file"], root)
    codes = chosen_codes(config, given)
    found = survey(root, empty=True)
    checked = look(
        found, tree(root), _count(words, limits(config, given)), _triggers(config, given), selected
    )
    if not found.captions and not checked.places:
        survey(root)  # says what a folder without captions lacks
    findings = [one for one in _findings(root, checked) if one.code in codes]
    captions = rows(checked.table, "path")
    others = found.others if selected is None else sorted(selected.difference(captions))
    strict = bool(config.get("strict", given["strict"], False))
    fatal = {"error", "warning"} if strict else {"error"}
    code = int(any(CATALOGUE[one.code].severity in fatal for one in findings))
    return Report(len(captions), findings, [(root / path).as_posix() for path in others], codes.in_full), code


def _count(words: Vocabulary | None, limit: Limits) -> Callable[[pa.Table], pa.Table]:
    """The stage that counts, with a tokenizer that knows the captions' words and no others."""

    def count(table: pa.Table) -> pa.Table:
        texts = [text for text in rows(table, "text") if text is not None]
        known = None if words is None else Tokenizer(words, texts)
        return Count(known, limit.max_tokens, limit.warn_tokens)(table)

    return count


def _findings(root: Path, checked: Checked) -> Iterator[Found]:
    """The findings of captions, then those of images and folders."""
    columns = (rows(checked.table, name) for name in ("path", "findings", "details"))
    for path, codes, details in zip(*columns, strict=True):
        for code, detail in zip(codes, details, strict=True):
            line, column = checked.spots.get((path, code, detail), (None, None))
            yield Found((root / path).as_posix(), code, detail, line, column)
    for place in checked.places:
        yield Found((root / place.path).as_posix(), place.code, place.detail)


def _triggers(config: Config, given: dict[str, Any]) -> Callable[[pa.Table], Sequence[str]]:
    """Gives the triggers of a parsed folder, as a run would take them: those named, else what is detected."""
    named, detect = triggers(config, given)

    def of(table: pa.Table) -> Sequence[str]:
        word = candidate(table) if detect and not named else None
        if word is None:
            return named
        strange = _glance(config, word)
        if strange is None:
            return [found for found in [detect_trigger(table, load_ontology(config, given))] if found]
        return [word] if strange else []

    return of


def _glance(config: Config, word: str) -> bool | None:
    """What is plain to see; with tags of the user's own the ontology itself must be asked."""
    from tagflow.ontology import find
    from tagflow.ontology.classifier import quick_unknown_check

    if overlay_file(config, {}) is not None:
        return None
    root, _ = find(ontology_name(config, {}))
    return quick_unknown_check(root, word)
