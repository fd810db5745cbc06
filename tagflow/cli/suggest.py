"""`tagflow ontology suggest`; open it for which tags --accept takes, in which category, and where they go.

It proposes a category for each unknown tag of a folder, and writes what is accepted into an overlay.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from tagflow.cli import output
from tagflow.cli.build import folder_triggers
from tagflow.cli.help import command
from tagflow.cli.options import (
    COSINE,
    FOLDER,
    EncoderOptions,
    OntologyOptions,
    SeparatorOptions,
    collected,
    encoder_choice,
    ontology_name,
    ontology_options,
    overlay_file,
    suffix_of_captions,
)
from tagflow.cli.output import Progress
from tagflow.cli.separator import keep_tokens_separator
from tagflow.config import CONFIG_NAME, Config, load_config
from tagflow.dataset.survey import survey
from tagflow.encoders import TextEmbedder, load_embedder
from tagflow.errors import UsageProblem
from tagflow.files.read import inside, sha256
from tagflow.files.replace import Still, holds, write_and_move
from tagflow.findings.wording import nearest, some
from tagflow.ontology import Ontology, merged
from tagflow.ontology.grammar import normalise
from tagflow.ontology.suggest import Suggestion, coverage, known_terms, plain_tags
from tagflow.ontology.suggest import suggest as propose
from tagflow.pipeline import parsed

_NAMED = 5  # unknown tags that a message names


@dataclass(frozen=True, slots=True)
class Unknown:
    """The unknown tags of a folder, written as rows are, with their occurrences; its triggers are not in."""

    folder: Path
    tags: Mapping[str, int]
    triggers: Collection[str]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user accepts: tags with their categories, None for the proposed one, and a confidence.

    asked: something was to be accepted, be it that the overlay has it already.
    """

    asked: bool
    tags: Mapping[str, str | None]
    above: float | None

    @property
    def need_proposals(self) -> bool:
        """Whether they cannot be met without an encoder's word."""
        return self.above is not None or None in self.tags.values()

    def rows(self, suggestions: Iterable[Suggestion]) -> dict[str, str]:
        """The rows to write, by tag: what was named, and every other proposal above the confidence."""
        found: dict[str, str] = {}
        for one in suggestions:
            clear = self.above is not None and one.confidence > self.above
            if clear or one.tag in self.tags:
                found[one.tag] = one.category
        return found | {tag: category for tag, category in self.tags.items() if category is not None}


def read_wishes(given: Sequence[str], above: float | None, unknown: Unknown, ontology: Ontology) -> Wishes:
    """Read every `TAG` and `TAG=CATEGORY`. Raises UsageProblem at one that cannot be met.

    What a row of the overlay says already is met: a command that is run again changes nothing.
    """
    wanted: dict[str, str | None] = {}
    for text in given:
        tag, category = _parted(text, unknown, ontology)
        verdict = ontology.classify(tag)
        own = verdict.path == ("overlay",)
        if own and category in (None, verdict.category):
            output.note(f"{tag} is in {verdict.category} already, by its row in the overlay")
            continue
        if tag not in unknown.tags and not own:  # a row of the user's own may be moved
            _refuse(tag, unknown, ontology)
        if wanted.setdefault(tag, category) != category:
            raise UsageProblem(f"{tag!r} is to be accepted twice, in different categories", "accept it once")
    return Wishes(bool(given) or above is not None, wanted, above)


def _parted(text: str, unknown: Unknown, ontology: Ontology) -> tuple[str, str | None]:
    """Part `TAG=CATEGORY`; a tag that has a `=` of its own, such as `=_=`, is met whole."""
    tag, sign, category = text.rpartition("=")
    if not sign or normalise(text) in unknown.tags:
        return normalise(text), None
    if category.strip() not in ontology.categories:
        known = f"name one of: {', '.join(ontology.categories)}"
        cure = nearest(category.strip(), ontology.categories, known)
        raise UsageProblem(f"{ontology.name} has no category {category.strip()!r}", cure)
    return normalise(tag), category.strip()


def _refuse(tag: str, unknown: Unknown, ontology: Ontology) -> NoReturn:
    verdict = ontology.classify(tag)
    if tag in unknown.triggers:
        cure = "leave it out: a trigger stays in front and needs no category"
        raise UsageProblem(f"{tag!r} is the trigger of {unknown.folder}", cure)
    if verdict.known:
        what = f"{tag!r} is no unknown tag: it is in {verdict.category} ({verdict.rule})"
        raise UsageProblem(what, "to move it, write its row into the overlay yourself")
    names = sorted(unknown.tags, key=lambda name: (-unknown.tags[name], name))
    known = f"its unknown tags are: {some(names, _NAMED)}" if names else "it has no unknown tags"
    cure = nearest(tag, names, known)
    raise UsageProblem(f"{tag!r} does not occur in {unknown.folder}", cure)


def check_overlay(overlay: Path | None, dataset: Path | None) -> Path:
    """The file that accepted tags go to. Raises UsageProblem where there is none and none could be made.

    `dataset`: the folder whose own tagflow.toml names it, None where the user does. Such settings may have
    come with the images, and write nowhere but in their folder.
    """
    if overlay is not None and dataset is not None and not inside(dataset, overlay):
        raise UsageProblem(
            f"{overlay}: lies outside {dataset}, whose tagflow.toml names it",
            f"if it is yours, name it yourself: --overlay {shlex.quote(str(overlay))}",
        )
    if overlay is None:
        cure = 'name one in tagflow.toml, with the line `overlay = "my-tags.csv"`, or with --overlay FILE'
        raise UsageProblem("accepted tags need an overlay to be written to", cure)
    if not overlay.parent.is_dir():
        raise UsageProblem(f"{overlay}: there is no such folder", "make it, or name another file")
    return overlay


def write_rows(overlay: Path, rows: Mapping[str, str]) -> None:
    """Add rows to an overlay, a new file where there is none, in one step; tidy up after one that was killed.

    Raises SourceError where somebody edits it meanwhile, OSError; it is then as they left it.
    """
    target = overlay.resolve()  # a link stays one
    ends = r"\.[0-9a-f]{16}\.(?:new|([0-9a-f]{32})\.old)(?:\.link)?"
    name = re.compile(re.escape(f".{target.name}") + ends)
    for left in target.parent.glob(".*"):
        if (found := name.fullmatch(left.name)) and (found[1] is None or holds(left, found[1])):
            left.unlink()
        elif found:
            output.note(f"{left} holds a text of {target} that has not come to its place; look at it")
    old = target.read_bytes() if target.exists() else b""
    digest, token = sha256(old) if target.exists() else "", secrets.token_hex(8)
    aside = target.with_name(f".{target.name}.{token}.{digest[:32]}.old")
    new = merged(old.decode("utf-8"), rows).encode()  # with the line ends that it has
    write_and_move(target.with_name(f".{target.name}.{token}.new"), new, target, Still(digest, aside))
    if holds(aside, digest):  # else somebody who had it open has written there
        aside.unlink(missing_ok=True)


_SHOWN = 3  # nearest terms in the table; --json has them all


@dataclass(frozen=True, kw_only=True)
class SuggestOptions(OntologyOptions):
    """What `tagflow ontology suggest` was asked. `accept`: `TAG` or `TAG=CATEGORY`, as they were typed."""

    folder: Path | None
    encoders: str | None
    device: str | None
    accept: tuple[str, ...]
    accept_above: float | None
    as_json: bool
    config_file: Path | None


@command()
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
@collected(SuggestOptions)
def suggest(asked: SuggestOptions) -> int:
    """Propose a category for each unknown tag of DIR, by the known tags nearest to it in a text encoder.

    Writes nothing but what is accepted, and that to the overlay that --overlay or tagflow.toml names.
    Confidence: the share of the nearest tags that agree, times the similarity of the nearest that does.
    """
    config = load_config(asked.config_file, asked.folder)
    folder = asked.folder or Path(config.path("dir") or ".")
    overlay = overlay_file(config, asked.overlay)
    # An overlay that is yet to be written is an empty one.
    there = overlay if overlay and overlay.exists() else None
    ontology = Ontology.load(ontology_name(config, asked.ontology_name), there)
    separator = keep_tokens_separator(config, SeparatorOptions(), folder)
    table = parsed(survey(folder, suffix=suffix_of_captions(config)), separator)
    found = coverage(table, ontology, folder_triggers(table, config))
    for trigger in found.triggers:
        output.note(f"{output.visible(trigger)!r} is the trigger and needs no category: left out")
    unknown = Unknown(folder, plain_tags(found.unknown), set(map(normalise, found.triggers)))
    wishes = read_wishes(asked.accept, asked.accept_above, unknown, ontology)
    theirs = asked.overlay is None and asked.config_file is None
    near = config.file is not None and config.file.resolve() == folder.resolve() / CONFIG_NAME
    dataset = folder if theirs and near else None
    target = check_overlay(overlay, dataset) if wishes.asked else None
    embedder, suggestions = None, list[Suggestion]()
    if unknown.tags and (wishes.need_proposals or not wishes.asked):
        embedder, suggestions = _proposed(unknown, ontology, config, asked)
    rows = wishes.rows(suggestions)
    if target and rows:
        write_rows(target, rows)
        output.note(f"written to {target}: {'; '.join(f'{tag},{home}' for tag, home in rows.items())}")
    elif target:
        output.note(f"{target}: nothing to write")
    if asked.as_json:
        output.as_json(_object(ontology, embedder, unknown, suggestions, rows))
    else:
        _tell(unknown, suggestions, wishes)
    return 0


def _proposed(
    unknown: Unknown, ontology: Ontology, config: Config, asked: SuggestOptions
) -> tuple[TextEmbedder, list[Suggestion]]:
    # te1 is small, and read in fp32 whatever the precision of a run.
    choice = encoder_choice(config, EncoderOptions(encoders=asked.encoders, device=asked.device))
    # Where a tag goes that nothing knows, and what is proposed where nothing speaks for any category.
    fallback = ontology.classify(next(iter(unknown.tags))).category
    progress = Progress()
    with progress.shown():
        with progress.waiting(f"loading the text encoder ({choice.spec})"):
            embedder = load_embedder(choice.spec, choice.device)
        embed = partial(embedder, progress=progress.progress("encoding"))
        suggestions = propose(unknown.tags, known_terms(ontology), embed, fallback)
    if not embedder.trained:
        output.note(
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
        "suggestions": [
            {
                "tag": one.tag,
                "occurrences": one.occurrences,
                "category": one.category,
                "confidence": one.confidence,
                "nearest": [near._asdict() for near in one.nearest],
            }
            for one in suggestions
        ],
        "accepted": [{"tag": tag, "category": category} for tag, category in rows.items()],
    }


def _tell(unknown: Unknown, suggestions: list[Suggestion], wishes: Wishes) -> None:
    if not unknown.tags:
        output.out(f"{unknown.folder}: no unknown tags")
    if not suggestions:
        return
    tags = max(len("tag"), *(len(output.short(one.tag)) for one in suggestions))
    homes = max(len("category"), *(len(one.category) for one in suggestions))
    output.out(f"{'tag':<{tags}}  occurrences  {'category':<{homes}}  confidence  nearest")
    for one in suggestions:
        shown = (f"{two.term} ({two.category} {two.similarity:.2f})" for two in one.nearest[:_SHOWN])
        near = ", ".join(map(output.visible, shown))
        tag = output.short(one.tag)
        output.out(
            f"{tag:<{tags}}  {one.occurrences:>11,}  {one.category:<{homes}}  {one.confidence:>10.2f}  {near}"
        )
    if not wishes.asked:
        output.note(
            "nothing is written; `--accept TAG`, `--accept TAG=CATEGORY` or `--accept-above X` writes"
        )
