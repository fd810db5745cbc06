"""`tagflow ontology`: which ontologies there are, what is in them, and what is wrong with them.

`tagflow explain`: the category of a tag, and why.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import click

from tagflow.captions.grammar import split_group
from tagflow.cli import output
from tagflow.cli.findings import FindingOptions, Report, chosen, exit_code, finding_options, tell
from tagflow.cli.help import Commands, command
from tagflow.cli.options import (
    OVERLAY,
    OntologyOptions,
    collected,
    load_ontology,
    ontology_name,
    ontology_options,
    overlay_file,
)
from tagflow.config import load_config
from tagflow.dataset.survey import LARGEST_CAPTION
from tagflow.errors import UsageProblem
from tagflow.findings.wording import nearest
from tagflow.ontology import Explanation, Ontology, built_in, find
from tagflow.ontology.lint import lint as find_faults


class OntologyCommands(Commands):
    """The commands on ontologies; what needs captions or encoders is imported when it is asked for."""

    sections: ClassVar = {
        "Commands": {
            "list": ("ontology", "list_ontologies", "List the ontologies there are, and their profiles."),
            "show": (
                "ontology",
                "show_ontology",
                "Show an ontology's categories in order, or one's rows.",
            ),
            "lint": ("ontology", "lint", "Look for faults in an ontology or an overlay."),
            "coverage": ("coverage", "coverage", "Count a folder's tags by category; name the unknown ones."),
            "suggest": ("suggest", "suggest", "Propose categories for unknown tags; write those you accept."),
        }
    }


@click.group(cls=OntologyCommands)
def ontology() -> None:
    """Look into ontologies, and make them know your tags."""


_config_option = click.option(
    "--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help="Default: tagflow.toml."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """What `tagflow ontology list` was asked."""

    as_json: bool
    config_file: Path | None


@command("list")
@_json_option
@_config_option
@collected(ListOptions)
def list_ontologies(asked: ListOptions) -> int:
    """List the built-in ontologies and the one that tagflow.toml names."""
    named = find(ontology_name(load_config(asked.config_file, None)))
    roots = [find(name)[0] for name in built_in()]
    found = [_listed(Ontology.load(root), named) for root in dict.fromkeys([*roots, named[0]])]
    if asked.as_json:
        output.as_json({"schema": "tagflow.ontology.list/1", "ontologies": found})
        return 0
    for one in found:
        output.out(f"{_mark(one)} {one['name']}: {len(one['categories'])} categories, {one['terms']:,} rows")
        for profile in one["profiles"]:
            output.out(f"  {_mark(profile)} {one['name']}:{profile['name']}  {profile['description']}")
    return 0


def _mark(one: dict[str, Any]) -> str:
    return "*" if one["chosen"] else " "


def _listed(found: Ontology, chosen: tuple[Path, str]) -> dict[str, Any]:
    """An ontology; without a profile the first one is the default, and so the chosen one."""
    here = found.root == chosen[0]
    profiles = [one.name for one in found.profiles]
    profile = chosen[1] or next(iter(profiles), "")
    return {
        "name": found.source,
        "path": str(found.root),
        "version": found.version,
        "hash": found.hash,
        "chosen": here,
        "categories": list(found.categories),
        "terms": sum(len(found.terms(category)) for category in found.categories),
        "profiles": [
            {"name": one.name, "description": one.description, "chosen": here and one.name == profile}
            for one in found.profiles
        ],
    }


@dataclass(frozen=True, kw_only=True)
class ShowOptions(OntologyOptions):
    """What `tagflow ontology show` was asked. `name`: an ontology, given as an argument."""

    name: str | None
    category: str | None
    as_json: bool
    config_file: Path | None


@command("show")
@click.argument("name", metavar="[NAME|PATH]", required=False)
@click.option("--category", metavar="NAME", help="The rows of one category.")
@ontology_options
@_json_option
@_config_option
@collected(ShowOptions)
def show_ontology(asked: ShowOptions) -> int:
    """Show the categories of an ontology in their order, or every row of one category."""
    if asked.name and asked.ontology_name:
        raise UsageProblem("two ontologies were named", "name one, as an argument or with --ontology")
    named = replace(asked, ontology_name=asked.name or asked.ontology_name)
    found = load_ontology(load_config(asked.config_file, None), named)
    category = asked.category
    if category is not None and category not in found.categories:
        known = f"name one of: {', '.join(found.categories)}"
        problem = f"{found.name} has no category {category!r}"
        raise UsageProblem(problem, nearest(category, found.categories, known))
    if asked.as_json:
        output.as_json(_shown(found, category))
    elif category is not None:
        for term in found.terms(category):
            output.out(output.visible(term))
    else:
        _tell(found)
    return 0


def _shown(found: Ontology, category: str | None) -> dict[str, Any]:
    wanted = [one for one in found.descriptions if category in (None, one.name)]
    return {
        "schema": "tagflow.ontology/1",
        "name": found.name,
        "path": str(found.root),
        "version": found.version,
        "hash": found.hash,
        "profiles": [{"name": one.name, "description": one.description} for one in found.profiles],
        "categories": [
            {
                "name": one.name,
                "title": one.title,
                "description": one.description,
                "terms": found.terms(one.name),
            }
            for one in wanted
        ],
    }


def _tell(found: Ontology) -> None:
    output.out(f"{found.name} {found.version}  {found.hash[:12]}  {found.root}")
    width = max(len(name) for name in found.categories)
    for place, one in enumerate(found.descriptions, 1):
        rows = len(found.terms(one.name))
        output.out(f"{place:>3}  {one.name:<{width}}  {rows:>5,}  {one.description}")
    for profile in found.profiles:
        output.out(f"     profile {profile.name}: {profile.description}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LintOptions(FindingOptions):
    """What `tagflow ontology lint` was asked. `names`: of built-in ontologies, or folders."""

    names: tuple[str, ...]
    overlay: Path | None
    config_file: Path | None


@command()
@click.argument("names", metavar="[NAME|PATH]...", nargs=-1)
@click.option("--overlay", type=OVERLAY, metavar="FILE", help="Look at this overlay, too.")
@finding_options
@_config_option
@collected(LintOptions)
def lint(asked: LintOptions) -> int:
    """Look for faults in ontologies: built-in ones (all of them by default) or folders; exit 1 if any."""
    config = load_config(asked.config_file, None)
    # The overlay that tagflow.toml names goes with the ontology that it names.
    beside = overlay_file(config, asked.overlay) if asked.overlay or not asked.names else None
    named = tuple(dict.fromkeys(asked.names))
    wanted = named or ((ontology_name(config),) if beside else tuple(built_in()))
    if beside and len(wanted) > 1:
        raise UsageProblem("an overlay goes with one ontology", "name the one that it is meant for")
    found = chosen((fault for name in wanted for fault in find_faults(name, beside)), asked)
    facts = {"ontologies": wanted, "overlay": beside and str(beside)}
    tell(Report("tagflow.ontology.lint/2", found, facts, ", ".join(wanted)), asked)
    return exit_code(found, strict=asked.strict)


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(OntologyOptions):
    """What `tagflow explain` was asked. `tags`: as they were typed; `-` is stdin."""

    tags: tuple[str, ...]
    as_json: bool
    config_file: Path | None


@command()
@click.argument("tags", metavar="TAG... | -", nargs=-1)
@ontology_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), metavar="FILE")
@collected(ExplainOptions)
def explain(asked: ExplainOptions) -> int:
    """Say which category each TAG has, and by which rules. `-` reads tags from stdin, one a line."""
    if not asked.tags:
        raise UsageProblem("no tag was given", "name tags, or `-` to read them from stdin")
    ontology = load_ontology(load_config(asked.config_file, None), asked)
    for tag in _all(asked.tags):
        found = _explanation(ontology, tag)
        if asked.as_json:
            output.as_json(_explained(ontology, tag, found))
        else:
            output.out(output.visible(f"{tag}: {found.verdict.category} ({', '.join(found.path)})"))
    return 0


def _explanation(ontology: Ontology, tag: str) -> Explanation:
    """Explain a tag, or the member of a group that decides for it."""
    deciding = ontology.classify_group(tag)
    return next(found for found in map(ontology.explain, split_group(tag)) if found.verdict == deciding)


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
