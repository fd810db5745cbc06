"""`tagflow check`: faults in captions, without torch and without writing. For people and for hooks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tagflow.cli import show
from tagflow.cli.assemble import options, tokenizer
from tagflow.cli.options import FOLDER, result_options, token_options, tokenizer_folder
from tagflow.config import load_config
from tagflow.pipeline import structure
from tagflow.roots import by_root
from tagflow.sources.folder import Survey, survey


@click.command()
@click.argument("paths", metavar="[PATHS]...", type=FOLDER, nargs=-1)
@token_options
@result_options
def check(paths: tuple[Path, ...], **given: Any) -> int:
    """Look for faults in caption files, or in all captions of folders. Default: the current folder."""
    here = load_config(given["config_file"], None)
    roots = by_root(paths or (Path(here.path("dir") or "."),))
    words = tokenizer(tokenizer_folder(here), hub=False, keep=False)
    code, captions, findings, others = 0, 0, list[dict[str, Any]](), list[str]()
    for root, selected in roots.items():
        config, found = load_config(given["config_file"], root), _chosen(survey(root), selected)
        strict = bool(config.get("strict", given["strict"], False))
        table = structure(found, words, options(config, given))
        code = max(code, show.exit_code(table, failed=False, strict=strict))
        captions += table.num_rows
        prefix = "" if root == Path() else f"{root.as_posix()}/"
        findings += [{**one, "path": prefix + one["path"]} for one in show.finding_objects(table)]
        others += [prefix + path for path in found.others]
    _tell(captions, findings, others, as_json=given["as_json"])
    return code


def _chosen(found: Survey, selected: set[str] | None) -> Survey:
    if selected is None:
        return found
    captions = tuple(path for path in found.captions if path in selected)
    return replace(found, captions=captions, others=tuple(sorted(selected.difference(captions))))


def _tell(captions: int, findings: list[dict[str, Any]], others: list[str], *, as_json: bool) -> None:
    if as_json:
        show.as_json(
            {"schema": "tagflow.check/1", "captions": captions, "findings": findings, "others": others}
        )
        return
    uncounted = [one for one in findings if one["code"] == "tokens-not-counted"]
    for one in findings:
        if one["code"] != "tokens-not-counted":
            show.out(show.finding_line(one["path"], one["code"], one["detail"]))
    if uncounted:  # the same of every caption, so said once
        show.out(show.finding_line(f"{len(uncounted)} captions", "tokens-not-counted", ""))
    for path in others:
        show.note(f"{path}: no caption (no .txt, or no image of its name); not looked at")
    errors = sum(one["severity"] == "error" for one in findings)
    warnings = sum(one["severity"] == "warning" for one in findings)
    notes = len(findings) - errors - warnings
    show.out(f"{captions} captions: {errors} errors, {warnings} warnings, {notes} notes")
