"""What `--accept` means: which unknown tags get which categories, and the overlay they are written to."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tagflow.cli import show
from tagflow.errors import UsageProblem
from tagflow.ontology import Ontology, merged
from tagflow.ontology.words import normalise
from tagflow.sources.replace import write_and_move
from tagflow.suggest import Suggestion

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
            show.note(f"{tag} is in {verdict.category} already, by its row in the overlay")
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
        known = ", ".join(ontology.categories)
        raise UsageProblem(f"{ontology.name} has no category {category.strip()!r}", f"name one of: {known}")
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
    more = ", ..." if len(names) > _NAMED else ""
    cure = f"its unknown tags are: {', '.join(names[:_NAMED])}{more}" if names else "it has no unknown tags"
    raise UsageProblem(f"{tag!r} does not occur in {unknown.folder}", cure)


def check_overlay(overlay: Path | None) -> Path:
    """The file that accepted tags go to. Raises UsageProblem where there is none and none could be made."""
    if overlay is None:
        cure = 'name one in tagflow.toml, with the line `overlay = "my-tags.csv"`, or with --overlay FILE'
        raise UsageProblem("accepted tags need an overlay to be written to", cure)
    if not overlay.parent.is_dir():
        raise UsageProblem(f"{overlay}: there is no such folder", "make it, or name another file")
    return overlay


def write_rows(overlay: Path, rows: Mapping[str, str]) -> None:
    """Add rows to an overlay, a new file where there is none, in one step. Raises OSError."""
    target = overlay.resolve()  # a link stays one
    old = target.read_bytes().decode("utf-8") if target.exists() else ""  # with the line ends that it has
    handle = target.with_name(f".{target.name}.{os.getpid()}.new")
    write_and_move(handle, merged(old, rows).encode(), target)
