"""All checks of a folder, in their order; open it to add one that needs more than a caption or a name.

`check` reads a folder and reports all of it; a run, whose stages have read it already, asks `beside_stages`
for what only the checks see, so that both report the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa

from tagflow.captions.grammar import FIXED, holds
from tagflow.checks.caption import Words, word_findings
from tagflow.checks.dataset import (
    common_tags,
    copies,
    descriptions_untrained,
    mixed_escapes,
    mostly_unread,
    two_spellings,
    unfit,
    unnamed_separators,
)
from tagflow.checks.folders import folder_findings, folders, name_findings
from tagflow.checks.images import image_findings
from tagflow.checks.tags import Facts, Lists, facts, read_lists
from tagflow.dataset.survey import Survey, Tree, stale_by_caption
from tagflow.engines.local import Stage, run_stages
from tagflow.findings.finding import Finding, finding, of_caption
from tagflow.progress import Progress, silent
from tagflow.schema import add, column_of, rows
from tagflow.stages.extract import extract
from tagflow.stages.parse import parse_captions
from tagflow.stages.trigger import Triggers, missing

if TYPE_CHECKING:
    from tagflow.ontology import Ontology

Detect = Callable[[pa.Table], Triggers]
NAMES = frozenset({"character", "artist", "series"})
"""Categories of names, whose last word says nothing: `hatsune miku` is no kind of `miku`."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks found. `captions`: the paths that were reported on; findings name files from the root.

    `descriptions_untrained`: most captions of the folder have one that `--description join` would join.

    The findings of captions come first, caption by caption, then those of images, folders and the whole.
    """

    captions: tuple[str, ...]
    findings: tuple[Finding, ...]
    triggers: Triggers
    descriptions_untrained: bool


def check(
    found: Survey,
    names: Tree,
    count: Stage,
    detect: Detect,
    ontology: Ontology | None = None,
    selected: Collection[str] | None = None,
    progress: Callable[[str], Progress] = lambda stage: silent,
    *,
    deep: bool = False,
    separator: str | None = None,
) -> Checked:
    """Check a folder. `selected`: report on these paths alone; what concerns all is asked of all, even so.

    `detect` gives the triggers of the parsed batch, `count` counts the tokens of what is reported on, and
    unknown tags are looked for in an `ontology`. `progress` gives for a stage's name what is told how far it
    has come. deep: images are wholly decoded. separator: the keep_tokens_separator that was named.
    """
    read = extract(found, None, None, progress("reading"))
    table = run_stages(read, [partial(parse_captions, separator=separator)], progress("parsing"))
    triggers = detect(table)
    if ontology is not None:
        from tagflow.stages.classify import Classify  # with what reads ontologies, which few checks need

        table = Classify(ontology, triggers.words())(table)
    look = Look(triggers, ontology, selected, progress("images"), deep, separator)
    beside = beside_stages(table, found, names, look)
    untrained = descriptions_untrained(found, rows(table, "path"), rows(table, "text"))
    table = add(table, rewritten=rows(table, "text"))
    if selected is not None:
        chosen = [at for at, path in enumerate(rows(table, "path")) if path in selected]
        table = table.take(column_of(chosen, pa.int32()))
    table = count(table)
    columns = (rows(table, name) for name in ("path", "findings", "details"))
    stale = stale_by_caption(found.root, rows(table, "path"))
    captions = [
        one
        for path, codes, details in zip(*columns, strict=True)
        for one in (
            *(of_caption(path, code, detail) for code, detail in zip(codes, details, strict=True)),
            *beside.captions[path],
            *(of_caption(path, "cache-stale", cache) for cache in stale.get(path, ())),
        )
    ]
    findings = (*captions, *beside.others)
    return Checked(tuple(rows(table, "path")), findings, triggers, untrained)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a folder takes into account.

    `ontology`: whose names are known to be names, and whose tags imply each other. `selected`: report on
    these paths alone. `images` is told images done, and all. `deep`: images are wholly decoded.
    `separator`: the keep_tokens_separator that was named.
    """

    triggers: Triggers
    ontology: Ontology | None = None
    selected: Collection[str] | None = None
    images: Progress = silent
    deep: bool = False
    separator: str | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """What the stages do not see: of each caption by its path, and of images, folders and the whole."""

    captions: Mapping[str, Sequence[Finding]]
    others: Sequence[Finding]


def beside_stages(table: pa.Table, found: Survey, names: Tree, look: Look) -> Beside:
    """What the checks find in a parsed batch, and in the names and images of its folder."""
    ontology, selected = look.ontology, look.selected
    lists = read_lists("" if ontology is None else ontology.name.partition(":")[0])
    tags: list[list[str] | None] = rows(table, "tags")
    # What is to be known of each distinct tag, and of the tags of each caption.
    known = {tag: facts(tag, lists) for tag in dict.fromkeys(chain.from_iterable(filter(None, tags)))}
    by_caption = [[known[tag] for tag in group or ()] for group in tags]
    # A trigger is a name: `zkv house` does not say `house`.
    longer = {one.key: tag for tag, one in known.items() if one.heads}
    called = {key for key in longer if any(holds(key, word) for word in look.triggers.words())}
    if ontology is not None:
        called |= {key for key, tag in longer.items() if ontology.classify_group(tag).category in NAMES}
    paths = rows(table, "path")
    shown = _in_captions(table, by_caption, look.triggers, called, lists)
    of_words = {path: [one.at(file=path) for one in group] for path, group in zip(paths, shown, strict=True)}
    # In how many of the captions that are reported on each tag stands, as it is spelled.
    reported = (
        group for path, group in zip(paths, tags, strict=True) if selected is None or path in selected
    )
    captions_of = Counter(chain.from_iterable(map(set, filter(None, reported))))
    folder_tree = folders(names, found.suffix)
    placed = [*name_findings(folder_tree, lists), *folder_findings(folder_tree, found.root.resolve().name)]
    placed += image_findings(found.root, folder_tree, selected, look.images, deep=look.deep)
    placed.sort(key=lambda one: one.where.file or "")
    placed += common_tags(by_caption, look.triggers.words())
    placed += two_spellings(known, captions_of)
    placed += mixed_escapes(known, captions_of)
    placed += mostly_unread(rows(table, "text"))
    placed += unnamed_separators(paths, rows(table, "text"), look.separator)
    if ontology is not None:
        sorted_tags = {
            tag
            for group, segments in zip(tags, rows(table, "segments"), strict=True)
            for tag, segment in zip(group or (), segments or (), strict=True)
            if segment != FIXED and not any(holds(tag, word) for word in look.triggers.words())
        }
        placed += unfit(ontology, sorted_tags)
    return Beside(of_words, [one for one in placed if selected is None or one.where.file in selected])


def _in_captions(
    table: pa.Table,
    by_caption: Sequence[Sequence[Facts]],
    triggers: Triggers,
    called: Collection[str],
    lists: Lists,
) -> Iterator[list[Finding]]:
    """For each caption what its words show, triggers that it lacks, and its copies.

    `called`: names, as `Facts.key` has them.
    """
    texts, tags, starts, lines = (rows(table, name) for name in ("text", "tags", "starts", "lines"))
    lacking = missing(rows(table, "path"), texts, triggers)
    same = copies(rows(table, "path"), tags)
    for at, known in enumerate(by_caption):
        words = [one._replace(heads=()) if one.key in called else one for one in known]
        shown = (
            word_findings(Words(texts[at], tags[at], starts[at], lines[at], words), lists) if tags[at] else ()
        )
        yield [*shown, *(finding(code, word, tag=word) for code, word in lacking[at]), *same[at]]
