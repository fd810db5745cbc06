"""All checks of a folder, in their order; open it to add one that needs more than a caption or a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from tagflow.captions.grammar import holds
from tagflow.checks.caption import Words, word_findings
from tagflow.checks.dataset import common_tags, copies, descriptions_untrained, two_spellings
from tagflow.checks.folders import folder_findings, folders, name_findings
from tagflow.checks.images import image_findings
from tagflow.checks.tags import Facts, Lists, facts, read_lists
from tagflow.dataset.survey import Survey, Tree
from tagflow.engines.local import run_stages
from tagflow.findings.finding import Finding, finding, of_caption
from tagflow.progress import Progress, silent
from tagflow.schema import add, column_of, rows
from tagflow.stages.extract import extract
from tagflow.stages.parse import parse_captions
from tagflow.stages.trigger import Triggers, missing

Detect = Callable[[pa.Table], Triggers]


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
    count: Callable[[pa.Table], pa.Table],
    detect: Detect,
    selected: Collection[str] | None = None,
    progress: Callable[[str], Progress] = lambda stage: silent,
    *,
    deep: bool = False,
) -> Checked:
    """Check a folder. `selected`: report on these paths alone; what concerns all is asked of all, even so.

    `detect` gives the triggers of the parsed batch, `count` counts the tokens of what is reported on.
    `progress` gives for a stage's name what is told how far it has come. deep: images are wholly decoded.
    """
    read = extract(found, None, None, progress("reading"))
    table = run_stages(read, [parse_captions], progress("parsing"))
    lists = read_lists()
    tags: list[list[str] | None] = rows(table, "tags")
    # What is to be known of each distinct tag, and of the tags of each caption.
    known = {tag: facts(tag, lists) for tag in dict.fromkeys(chain.from_iterable(filter(None, tags)))}
    by_caption = [[known[tag] for tag in group or ()] for group in tags]
    triggers = detect(table)
    of_words = dict(zip(rows(table, "path"), _in_captions(table, by_caption, triggers, lists), strict=True))
    untrained = descriptions_untrained(found, rows(table, "path"), rows(table, "text"))
    table = add(table, rewritten=rows(table, "text"))
    if selected is not None:
        chosen_rows = [at for at, path in enumerate(rows(table, "path")) if path in selected]
        table = table.take(column_of(chosen_rows, pa.int32()))
    # In how many captions each tag stands, as it is spelled.
    captions_of = Counter(chain.from_iterable(map(set, filter(None, rows(table, "tags")))))
    spelled = two_spellings(known, captions_of)
    table = count(table)
    paths = rows(table, "path")
    captions = [
        one
        for path, codes, details in zip(paths, rows(table, "findings"), rows(table, "details"), strict=True)
        for one in (
            *(of_caption(path, code, detail) for code, detail in zip(codes, details, strict=True)),
            *(one.at(file=path) for one in of_words[path]),
        )
    ]
    folder_tree = folders(names, found.suffix)
    placed = [*name_findings(folder_tree, lists), *folder_findings(folder_tree, found.root.resolve().name)]
    placed += image_findings(found.root, folder_tree, selected, progress("images"), deep=deep)
    placed.sort(key=lambda one: one.where.file or "")
    placed += [*common_tags(by_caption, triggers.words()), *spelled]
    chosen = [one for one in placed if selected is None or one.where.file in selected]
    return Checked(tuple(paths), (*captions, *chosen), triggers, untrained)


def _in_captions(
    table: pa.Table, by_caption: Sequence[Sequence[Facts]], triggers: Triggers, lists: Lists
) -> Iterator[list[Finding]]:
    """For each caption what its words show, triggers that it lacks, and its copies."""
    texts, tags, starts, lines = (rows(table, name) for name in ("text", "tags", "starts", "lines"))
    # A trigger is a name: `zkv house` does not say `house`.
    names = {
        one.key
        for known in by_caption
        for one in known
        if any(holds(one.key, word) for word in triggers.words())
    }
    lacking = missing(rows(table, "path"), texts, triggers)
    same = copies(rows(table, "path"), tags)
    for at, known in enumerate(by_caption):
        words = [one._replace(heads=()) if one.key in names else one for one in known]
        shown = (
            word_findings(Words(texts[at], tags[at], starts[at], lines[at], words), lists) if tags[at] else ()
        )
        yield [*shown, *(finding(code, word, tag=word) for code, word in lacking[at]), *same[at]]
