"""`tagflow ontology list | show | lint | coverage` and `explain`; open it for what they take and print.

What needs captions or encoders is imported when it is asked for.
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
    FOLDER,
    OVERLAY,
    OntologyOptions,
    SeparatorOptions,
    collected,
    load_ontology,
    ontology_name,
    ontology_options,
    overlay_file,
    suffix_of_captions,
)
from tagflow.config import load_config
from tagflow.dataset.survey import LARGEST_CAPTION
from tagflow.errors import UsageProblem
from tagflow.findings.wording import many, nearest
from tagflow.ontology import Ontology, built_in, find


class OntologyCommands(Commands):
    """The commands on ontologies."""

    sections: ClassVar = {
        "Commands": {
            "list": ("ontology", "list_ontologies", "List the ontologies there are, and their profiles."),
            "show": (
                "ontology",
                "show_ontology",
                "Show an ontology's categories in order, or one's rows.",
            ),
            "lint": ("ontology", "lint", "Look for faults in an ontology or an overlay."),
            "coverage": ("ontology", "coverage", "Count a folder's tags by category; name the unknown ones."),
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
    named, profile = find(ontology_name(load_config(asked.config_file, None)))
    roots = [find(name)[0] for name in built_in()]
    found: list[dict[str, Any]] = []
    for one in map(Ontology.load, dict.fromkeys([*roots, named])):
        here = one.root == named
        default = profile or next((each.name for each in one.profiles), "")  # the first one
        profiles = [
            {"name": each.name, "description": each.description, "chosen": here and each.name == default}
            for each in one.profiles
        ]
        found.append(
            {
                "name": one.source,
                "path": str(one.root),
                "version": one.version,
                "hash": one.hash,
                "chosen": here,
                "categories": list(one.categories),
                "terms": sum(len(one.terms(category)) for category in one.categories),
                "profiles": profiles,
            }
        )
    if asked.as_json:
        output.as_json({"schema": "tagflow.ontology.list/1", "ontologies": found})
        return 0
    for row in found:
        output.out(f"{_mark(row)} {row['name']}: {len(row['categories'])} categories, {row['terms']:,} rows")
        for each in row["profiles"]:
            output.out(f"  {_mark(each)} {row['name']}:{each['name']}  {each['description']}")
    return 0


def _mark(one: dict[str, Any]) -> str:
    return "*" if one["chosen"] else " "


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
        shown = [one for one in found.descriptions if category in (None, one.name)]
        facts = {
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
                for one in shown
            ],
        }
        output.as_json(facts)
    elif category is not None:
        for term in found.terms(category):
            output.out(output.visible(term))
    else:
        output.out(f"{found.name} {found.version}  {found.hash[:12]}  {found.root}")
        width = max(map(len, found.categories))
        for place, one in enumerate(found.descriptions, 1):
            rows = len(found.terms(one.name))
            output.out(f"{place:>3}  {one.name:<{width}}  {rows:>5,}  {one.description}")
        for profile in found.profiles:
            output.out(f"     profile {profile.name}: {profile.description}")
    return 0


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
    from tagflow.ontology.lint import lint as find_faults

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
class CoverageOptions(OntologyOptions):
    """What `tagflow ontology coverage` was asked. `top`: unknown tags that are shown."""

    folder: Path | None
    top: int
    as_json: bool
    config_file: Path | None


@command()
@click.argument("folder", metavar="[DIR]", type=FOLDER, required=False)
@click.option(
    "--top", type=click.IntRange(0), default=20, metavar="N", help="Unknown tags shown. Default: 20."
)
@ontology_options
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@click.option("--config", "config_file", type=FOLDER, metavar="FILE", help="Default: tagflow.toml.")
@collected(CoverageOptions)
def coverage(asked: CoverageOptions) -> int:
    """Count the tags of DIR by category, and name the unknown ones, most frequent first."""
    from tagflow.cli.build import folder_triggers
    from tagflow.cli.separator import keep_tokens_separator
    from tagflow.dataset.survey import survey
    from tagflow.ontology.suggest import coverage as measure
    from tagflow.pipeline import parsed

    config = load_config(asked.config_file, asked.folder)
    ontology = load_ontology(config, asked)
    folder = asked.folder or Path(config.path("dir") or ".")
    separator = keep_tokens_separator(config, SeparatorOptions(), folder)
    table = parsed(survey(folder, suffix=suffix_of_captions(config)), separator)
    found = measure(table, ontology, folder_triggers(table, config))
    tags, occurrences = (
        found.tags.total() + len(found.unknown),
        found.occurrences.total() + found.unknown.total(),
    )
    unknown = sorted(found.unknown.items(), key=lambda one: (-one[1], one[0]))
    counts = [(name, found.tags[name], found.occurrences[name]) for name in ontology.categories]
    if asked.as_json:
        facts = {
            "schema": "tagflow.coverage/1",
            "ontology": ontology.name,
            "ontology_hash": ontology.hash,
            "captions": {"all": found.captions, "untagged": found.untagged, "unread": found.unread},
            "triggers": [{"tag": tag, "occurrences": count} for tag, count in found.triggers.items()],
            "tags": tags,
            "occurrences": occurrences,
            "categories": [
                {"name": name, "tags": some, "occurrences": count} for name, some, count in counts
            ],
            "unknown": [{"tag": tag, "occurrences": count} for tag, count in unknown],
        }
        output.as_json(facts)
        return 0
    output.out(
        f"{many(found.captions, 'caption')}, {many(tags, 'tag')}, {many(occurrences, 'occurrence')}; "
        f"ontology {ontology.name}"
    )
    if found.untagged or found.unread:
        output.out(
            f"not counted: {many(found.untagged, 'caption')} without tags, "
            f"{found.unread:,} that cannot be read"
        )
    for trigger, count in found.triggers.items():
        output.out(f"left out: the trigger {output.short(trigger)!r}, {many(count, 'time')}")
    width = max(len(name) for name in (*ontology.categories, "unknown"))
    output.out(f"{'category':<{width}}  {'tags':>7}  {'share':>6}  {'occurrences':>11}  {'share':>6}")
    for name, distinct, count in (*counts, ("unknown", len(unknown), found.unknown.total())):
        first, second = distinct / (tags or 1), count / (occurrences or 1)
        output.out(f"{name:<{width}}  {distinct:>7,}  {first:6.1%}  {count:>11,}  {second:6.1%}")
    if unknown and asked.top:
        output.out("unknown tags, most frequent first (`tagflow ontology suggest` proposes categories):")
    for tag, count in unknown[: asked.top]:
        output.out(f"{count:>7,}  {output.short(tag)}")
    if len(unknown) > asked.top:
        output.out(f"         and {len(unknown) - asked.top:,} more; --top N shows more, --json all")
    return 0


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
    for tag in _with_stdin(asked.tags):
        deciding = ontology.classify_group(tag)  # of a group one member decides, and that one is explained
        found = next(one for one in map(ontology.explain, split_group(tag)) if one.verdict == deciding)
        if not asked.as_json:
            output.out(output.visible(f"{tag}: {found.verdict.category} ({', '.join(found.path)})"))
            continue
        words = [{"text": word.text, "label": word.label, "category": word.category} for word in found.words]
        facts = {
            "schema": "tagflow.explain/1",
            "tag": tag,
            "category": found.verdict.category,
            "known": found.verdict.known,
            "rule": found.verdict.rule,
            "path": list(found.path),
            "words": words,
            "ontology": ontology.name,
        }
        output.as_json(facts)
    return 0


def _with_stdin(tags: tuple[str, ...]) -> Iterator[str]:
    """The tags that were typed, and for `-` those of stdin, one a line. Raises UsageProblem."""
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
