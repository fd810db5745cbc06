"""All checks of a folder: captions as they stand, tags and tokens, names and folders. Nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from tagflow.captions.grammar import tag_key
from tagflow.checks.caption import Words, word_findings
from tagflow.checks.dataset import common_tags, copies, missing_triggers, two_spellings
from tagflow.checks.folders import folder_findings, folders, name_findings
from tagflow.checks.tags import Facts, Lists, facts, read_lists
from tagflow.dataset.survey import Survey, Tree
from tagflow.engines.local import run_stages, silent
from tagflow.findings.finding import Place, Seen
from tagflow.schema import add, add_findings, column_of, rows
from tagflow.stages.extract import extract
from tagflow.stages.parse import Parse

Detect = Callable[[pa.Table], Sequence[str]]
Spot = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks found. `table`: the captions asked for, findings in its columns.

    `places`: findings on images, folders and the whole. `spots`: line and column, from 1, of findings in
    captions where they are known; the key is path, code and detail.
    """

    table: pa.Table
    places: tuple[Place, ...]
    spots: dict[Spot, tuple[int, int]]


def check(
    found: Survey,
    names: Tree,
    count: Callable[[pa.Table], pa.Table],
    detect: Detect,
    selected: Collection[str] | None = None,
) -> Checked:
    """Check a folder. `selected`: report on these paths alone; what concerns all is asked of all, even so.

    `detect` gives the triggers of the parsed batch, `count` counts the tokens of what is reported on.
    """
    table = run_stages(extract(found, None, None, silent), [Parse()], silent)
    lists = read_lists()
    known, by_caption = _facts(table, lists)
    triggers = detect(table)
    seen = _in_captions(table, by_caption, triggers, lists)
    table = add_findings(table, [[(one.code, one.detail) for one in group] for group in seen])
    spots = _spots(table, seen)
    table = add(table, rewritten=rows(table, "text"))
    if selected is not None:
        table = table.take(_places_of(rows(table, "path"), selected))
    places = [*common_tags(by_caption, triggers), *two_spellings(known, _counted(table))]
    places = [*_of_names(found, names, lists), *places]
    chosen = [place for place in places if selected is None or place.path in selected]
    return Checked(count(table), tuple(chosen), spots)


def _facts(table: pa.Table, lists: Lists) -> tuple[dict[str, Facts], list[list[Facts]]]:
    """What is to be known of each distinct tag, and of the tags of each caption."""
    tags: list[list[str] | None] = rows(table, "tags")
    distinct = dict.fromkeys(chain.from_iterable(filter(None, tags)))
    known = {tag: facts(tag, lists) for tag in distinct}
    return known, [[known[tag] for tag in group or ()] for group in tags]


def _in_captions(
    table: pa.Table, by_caption: Sequence[Sequence[Facts]], triggers: Sequence[str], lists: Lists
) -> list[list[Seen]]:
    columns = [rows(table, name) for name in ("text", "tags", "starts", "lines")]
    names = set(map(tag_key, triggers))  # a trigger is a name: `zkv house` does not say `house`
    tags_known = (
        [one._replace(heads=()) if one.key in names else one for one in group] for group in by_caption
    )
    words = [
        [] if not tags else list(word_findings(text, Words(tags, starts, lines, known), lists))
        for (text, tags, starts, lines), known in zip(zip(*columns, strict=True), tags_known, strict=True)
    ]
    more = (missing_triggers(columns[0], by_caption, triggers), copies(rows(table, "path"), columns[1]))
    return [[*one, *two, *three] for one, two, three in zip(words, *more, strict=True)]


def _spots(table: pa.Table, seen: Sequence[Sequence[Seen]]) -> dict[Spot, tuple[int, int]]:
    return {
        (path, one.code, one.detail): _line_and_column(text, one.at)
        for path, text, group in zip(rows(table, "path"), rows(table, "text"), seen, strict=True)
        for one in group
        if one.at is not None
    }


def _line_and_column(text: str, at: int) -> tuple[int, int]:
    """Both from 1, in characters; a byte order mark is none."""
    before = text[:at].lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _of_names(found: Survey, names: Tree, lists: Lists) -> list[Place]:
    all_folders = folders(names)
    places = [
        *name_findings(all_folders, lists),
        *folder_findings(all_folders, found.root.resolve().name),
    ]
    return sorted(places, key=lambda place: place.path)


def _counted(table: pa.Table) -> Counter[str]:
    """In how many captions each tag stands, as it is spelled."""
    return Counter(chain.from_iterable(map(set, filter(None, rows(table, "tags")))))


def _places_of(paths: Sequence[str], selected: Collection[str]) -> pa.Array[pa.Int32Scalar]:
    return column_of([at for at, path in enumerate(paths) if path in selected], pa.int32())
