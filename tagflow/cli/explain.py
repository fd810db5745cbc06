"""`tagflow explain`: the category of a tag, and why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tagflow.caption import members
from tagflow.cli import show
from tagflow.cli.options import load_ontology, ontology_options
from tagflow.config import load_config
from tagflow.errors import UsageProblem
from tagflow.groups import verdict_of
from tagflow.ontology import Explanation, Ontology
from tagflow.sources.folder import LARGEST_CAPTION


@click.command()
@click.argument("tags", metavar="TAG... | -", nargs=-1)
@ontology_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), metavar="FILE")
def explain(tags: tuple[str, ...], *, as_json: bool, config_file: Path | None, **given: Any) -> int:
    """Say which category each TAG has, and by which rules. `-` reads tags from stdin, one a line."""
    if not tags:
        raise UsageProblem("no tag was given", "name tags, or `-` to read them from stdin")
    ontology = load_ontology(load_config(config_file, None), given)
    for tag in _all(tags):
        found = _explanation(ontology, tag)
        if as_json:
            show.as_json(_explained(ontology, tag, found))
        else:
            show.out(show.visible(f"{tag}: {found.verdict.category} ({', '.join(found.path)})"))
    return 0


def _explanation(ontology: Ontology, tag: str) -> Explanation:
    """Explain a tag, or the member of a group that decides for it."""
    deciding = verdict_of(ontology, tag)
    return next(found for found in map(ontology.explain, members(tag)) if found.verdict == deciding)


def _explained(ontology: Ontology, tag: str, found: Explanation) -> dict[str, Any]:
    """One line of `explain --json`."""
    return {
        "schema": "tagflow.explain/1",
        "tag": tag,
        "category": found.verdict.category,
        "known": found.verdict.known,
        "rule": found.verdict.rule,
        "path": list(found.path),
        "words": [
            {"text": word.text, "label": word.label, "category": word.category} for word in found.words
        ],
        "ontology": ontology.name,
    }


def _all(tags: tuple[str, ...]) -> Iterator[str]:
    for tag in tags:
        if tag != "-":
            yield tag
            continue
        if sys.stdin is None:  # closed by whoever started us
            raise UsageProblem("there is no stdin to read tags from", "name the tags")
        for line in iter(lambda: sys.stdin.buffer.readline(LARGEST_CAPTION + 1), b""):
            if len(line) > LARGEST_CAPTION:
                raise UsageProblem("a line of stdin is too long to be a tag", "give one tag a line")
            text = line.decode("utf-8", errors="replace").strip().strip("\ufeff")
            if text:
                yield text
