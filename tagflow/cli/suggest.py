"""`tagflow ontology suggest`: a category for each unknown tag of a folder; what is accepted is written."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from tagflow.cli import show
from tagflow.cli.accept import Unknown, Wishes, check_overlay, read_wishes, write_rows
from tagflow.cli.assemble import folder_triggers
from tagflow.cli.options import COSINE, FOLDER, encoder_choice, ontology_name, ontology_options, overlay_file
from tagflow.cli.progress import Progress
from tagflow.config import Config, load_config
from tagflow.coverage import coverage
from tagflow.encoders import TextEmbedder, load_embedder
from tagflow.ontology import Ontology
from tagflow.ontology.words import normalise
from tagflow.pipeline import parsed
from tagflow.sources.folder import survey
from tagflow.suggest import Neighbour, Suggestion, known_terms, plain_tags
from tagflow.suggest import suggest as propose

_SHOWN = 3  # nearest terms in the table; --json has them all


@click.command()
@click.argument("folder", metavar="[DIR]", type=FOLDER, required=False)
@click.option(
    "--encoders",
    metavar="SPEC",
    help="A .safetensors checkpoint, a diffusers folder, a hub id (of these te1 is read), a "
    "sentence-transformers folder, or `stand-in`.",
)
@click.option("--device", metavar="auto|cpu|cuda[:N]", help="Default: auto.")
@ontology_options
@click.option(
    "--accept",
    multiple=True,
    metavar="TAG[=CATEGORY]",
    help="Write this tag to the overlay, in the proposed category or in yours; may be given several times.",
)
@click.option(
    "--accept-above", type=COSINE, metavar="X", help="Write every proposal whose confidence is above X."
)
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@click.option("--config", "config_file", type=FOLDER, metavar="FILE", help="Default: tagflow.toml.")
def suggest(folder: Path | None, *, as_json: bool, config_file: Path | None, **given: Any) -> int:
    """Propose a category for each unknown tag of DIR, by the known tags nearest to it in a text encoder.

    Writes nothing but what is accepted, and that to the overlay that --overlay or tagflow.toml names.
    Confidence: the share of the nearest tags that agree, times the similarity of the nearest that does.
    """
    config = load_config(config_file, folder)
    folder = folder or Path(config.path("dir") or ".")
    overlay = overlay_file(config, given)
    # An overlay that is yet to be written is an empty one.
    ontology = Ontology.load(ontology_name(config, given), overlay if overlay and overlay.exists() else None)
    unknown = _unknown(folder, ontology, config)
    wishes = read_wishes(given["accept"], given["accept_above"], unknown, ontology)
    target = check_overlay(overlay) if wishes.asked else None
    embedder, suggestions = None, list[Suggestion]()
    if unknown.tags and (wishes.need_proposals or not wishes.asked):
        embedder, suggestions = _proposed(unknown, ontology, config, given)
    rows = wishes.rows(suggestions)
    if target and rows:
        write_rows(target, rows)
        show.note(f"written to {target}: {'; '.join(f'{tag},{home}' for tag, home in rows.items())}")
    elif target:
        show.note(f"{target}: nothing to write")
    if as_json:
        show.as_json(_object(ontology, embedder, unknown, suggestions, rows))
    else:
        _tell(unknown, suggestions, wishes)
    return 0


def _unknown(folder: Path, ontology: Ontology, config: Config) -> Unknown:
    """The unknown tags of a folder. Its triggers are unknown by nature, and said to be left out."""
    table = parsed(survey(folder))
    found = coverage(table, ontology, folder_triggers(table, ontology, config))
    for trigger in found.triggers:
        show.note(f"{show.visible(trigger)!r} is the trigger and needs no category: left out")
    return Unknown(folder, plain_tags(found.unknown), set(map(normalise, found.triggers)))


def _proposed(
    unknown: Unknown, ontology: Ontology, config: Config, given: dict[str, Any]
) -> tuple[TextEmbedder, list[Suggestion]]:
    # te1 is small, and read in fp32 whatever the precision of a run.
    choice = encoder_choice(config, {**given, "dtype": None})
    # Where a tag goes that nothing knows, and what is proposed where nothing speaks for any category.
    fallback = ontology.classify(next(iter(unknown.tags))).category
    progress = Progress()
    with progress.shown():
        with progress.waiting(f"loading the text encoder ({choice.spec})"):
            embedder = load_embedder(choice.spec, choice.device)
        embed = partial(embedder, progress=progress.progress("encoding"))
        suggestions = propose(unknown.tags, known_terms(ontology), embed, fallback)
    if not embedder.trained:
        show.note(
            "the stand-in is untrained: it sees which tags share tokens, nothing of what they mean, and its "
            "proposals say nothing; name trained encoders with --encoders"
        )
    return embedder, suggestions


def _object(
    ontology: Ontology,
    embedder: TextEmbedder | None,
    unknown: Unknown,
    suggestions: list[Suggestion],
    rows: dict[str, str],
) -> dict[str, Any]:
    return {
        "schema": "tagflow.suggest/1",
        "ontology": ontology.name,
        "ontology_hash": ontology.hash,
        "encoders": embedder and {"source": embedder.source, "fingerprint": embedder.fingerprint},
        "unknown": len(unknown.tags),
        "triggers": sorted(unknown.triggers),
        "suggestions": [_suggested(one) for one in suggestions],
        "accepted": [{"tag": tag, "category": category} for tag, category in rows.items()],
    }


def _suggested(one: Suggestion) -> dict[str, Any]:
    return {
        "tag": one.tag,
        "occurrences": one.occurrences,
        "category": one.category,
        "confidence": one.confidence,
        "nearest": [near._asdict() for near in one.nearest],
    }


def _tell(unknown: Unknown, suggestions: list[Suggestion], wishes: Wishes) -> None:
    if not unknown.tags:
        show.out(f"{unknown.folder}: no unknown tags")
    if not suggestions:
        return
    tags = max(len("tag"), *(len(show.short(one.tag)) for one in suggestions))
    homes = max(len("category"), *(len(one.category) for one in suggestions))
    show.out(f"{'tag':<{tags}}  occurrences  {'category':<{homes}}  confidence  nearest")
    for one in suggestions:
        near = ", ".join(map(_near, one.nearest[:_SHOWN]))
        tag = show.short(one.tag)
        show.out(
            f"{tag:<{tags}}  {one.occurrences:>11,}  {one.category:<{homes}}  {one.confidence:>10.2f}  {near}"
        )
    if not wishes.asked:
        show.note("nothing is written; `--accept TAG`, `--accept TAG=CATEGORY` or `--accept-above X` writes")


def _near(one: Neighbour) -> str:
    return show.visible(f"{one.term} ({one.category} {one.similarity:.2f})")
