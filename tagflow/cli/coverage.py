"""`tagflow ontology coverage`: how much of a folder's captions an ontology knows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tagflow.cli import output
from tagflow.cli.build import folder_triggers
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER, OntologyOptions, collected, load_ontology, ontology_options
from tagflow.config import load_config
from tagflow.dataset.survey import survey
from tagflow.findings.wording import many
from tagflow.ontology import Ontology
from tagflow.ontology.coverage import Coverage
from tagflow.ontology.coverage import coverage as measure
from tagflow.pipeline import parsed


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
    config = load_config(asked.config_file, asked.folder)
    ontology = load_ontology(config, asked)
    table = parsed(survey(asked.folder or Path(config.path("dir") or ".")))
    found = measure(table, ontology, folder_triggers(table, ontology, config))
    if asked.as_json:
        output.as_json(_object(found, ontology))
    else:
        _tell(found, ontology, asked.top)
    return 0


def _object(found: Coverage, ontology: Ontology) -> dict[str, Any]:
    tags, occurrences = _totals(found)
    return {
        "schema": "tagflow.coverage/1",
        "ontology": ontology.name,
        "ontology_hash": ontology.hash,
        "captions": {"all": found.captions, "untagged": found.untagged, "unread": found.unread},
        "triggers": [{"tag": tag, "occurrences": count} for tag, count in found.triggers.items()],
        "tags": tags,
        "occurrences": occurrences,
        "categories": [
            {"name": name, "tags": found.tags[name], "occurrences": found.occurrences[name]}
            for name in ontology.categories
        ],
        "unknown": [{"tag": tag, "occurrences": count} for tag, count in _by_count(found.unknown)],
    }


def _totals(found: Coverage) -> tuple[int, int]:
    """Distinct tags and occurrences, the unknown ones among them."""
    return found.tags.total() + len(found.unknown), found.occurrences.total() + found.unknown.total()


def _by_count(unknown: Counter[str]) -> list[tuple[str, int]]:
    return sorted(unknown.items(), key=lambda one: (-one[1], one[0]))


def _tell(found: Coverage, ontology: Ontology, top: int) -> None:
    tags, occurrences = _totals(found)
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
    counts = [(name, found.tags[name], found.occurrences[name]) for name in ontology.categories]
    counts.append(("unknown", len(found.unknown), found.unknown.total()))
    width = max(len(name) for name, _, _ in counts)
    output.out(f"{'category':<{width}}  {'tags':>7}  {'share':>6}  {'occurrences':>11}  {'share':>6}")
    for name, distinct, count in counts:
        shares = (f"{part / (whole or 1):6.1%}" for part, whole in ((distinct, tags), (count, occurrences)))
        first, second = shares
        output.out(f"{name:<{width}}  {distinct:>7,}  {first}  {count:>11,}  {second}")
    _tell_unknown(_by_count(found.unknown), top)


def _tell_unknown(unknown: list[tuple[str, int]], top: int) -> None:
    if unknown and top:
        output.out("unknown tags, most frequent first (`tagflow ontology suggest` proposes categories):")
    for tag, count in unknown[:top]:
        output.out(f"{count:>7,}  {output.short(tag)}")
    if len(unknown) > top:
        output.out(f"         and {len(unknown) - top:,} more; --top N shows more, --json all")
