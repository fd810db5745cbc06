"""`tagflow explain`: the category of a tag, and why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tagflow.cli import show
from tagflow.config import load_config
from tagflow.errors import UsageProblem
from tagflow.groups import verdict_of
from tagflow.ontology import Ontology, Verdict


@click.command()
@click.argument("tags", metavar="TAG... | -", nargs=-1)
@click.option("--ontology", "ontology_name", metavar="NAME|PATH", help="Default: architecture.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), metavar="FILE")
def explain(
    tags: tuple[str, ...], *, ontology_name: str | None, as_json: bool, config_file: Path | None
) -> int:
    """Say which category each TAG has, and by which rule. `-` reads tags from stdin, one a line."""
    if not tags:
        raise UsageProblem("no tag was given", "name tags, or `-` to read them from stdin")
    config = load_config(config_file, None)
    ontology = Ontology.load(ontology_name or config.path("ontology") or "architecture")
    for tag in _all(tags):
        verdict = verdict_of(ontology, tag)
        if as_json:
            show.as_json(explained(ontology, tag, verdict))
        else:
            show.out(show.visible(f"{tag}: {verdict.category} ({verdict.rule})"))
    return 0


def explained(ontology: Ontology, tag: str, verdict: Verdict) -> dict[str, Any]:
    """One line of `explain --json`."""
    return {
        "schema": "tagflow.explain/1",
        "tag": tag,
        "category": verdict.category,
        "rule": verdict.rule,
        "ontology": ontology.name,
    }


def _all(tags: tuple[str, ...]) -> Iterator[str]:
    for tag in tags:
        if tag != "-":
            yield tag
            continue
        if sys.stdin is None:  # closed by whoever started us
            raise UsageProblem("there is no stdin to read tags from", "name the tags")
        for line in sys.stdin.buffer:
            text = line.decode("utf-8", errors="replace").strip().strip("\ufeff")
            if text:
                yield text
