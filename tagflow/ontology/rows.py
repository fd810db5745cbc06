"""Rows of an ontology and of a user's overlay that contradict or repeat another row, or that no tag meets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tagflow.ontology.classifier import Ontology
from tagflow.ontology.files import Definition
from tagflow.ontology.folder import Folder
from tagflow.ontology.overlay import HEADER
from tagflow.ontology.words import Entry, cut_words, is_sign, normalise, other_forms


class _Row(NamedTuple):
    """A row of the lexicon and where it stands. `key` is one for all spellings that are one term."""

    entry: Entry
    file: str
    line: int
    key: str

    def __str__(self) -> str:
        return f"{self.entry.term!r} ({self.file}:{self.line})"


def check_rows(folder: Folder, definition: Definition) -> None:
    """Note in `folder` what is wrong with the rows of its lexicon; reading it must have found no fault."""
    rows = list(_rows(folder, definition))
    # A sign such as `^_^` is met as it stands, in no other spelling.
    words = [row for row in rows if not is_sign(row.entry.term)]
    _check_spellings(folder, words)
    _check_repeats(folder, _reached(folder, words, definition), definition)
    for row in rows:
        _check_seed(folder, row.file, row.line, row.entry.term, row.entry.category, definition)


def check_overlay(folder: Folder, name: str, definition: Definition, plain: Ontology) -> None:
    """Note rows of the overlay `name` that move a seed, and those that change nothing.

    definition: of the ontology with the overlay. plain: the same ontology without it.
    """
    lines: dict[str, int] = {}
    for line, (tag, category) in folder.rows(name, HEADER, empty_ok=True):
        text = normalise(tag)
        verdict = plain.classify(tag)
        if (first := lines.setdefault(text, line)) != line:
            folder.fault(
                name, line, "row-redundant", f"{tag!r} stands in line {first} already; delete this row"
            )
        elif verdict.known and verdict.category == category:
            what = f"{tag!r} is {category} without this row ({verdict.rule}); delete it"
            folder.fault(name, line, "row-redundant", what)
        else:
            _check_seed(folder, name, line, text, category, definition)


def _rows(folder: Folder, definition: Definition) -> Iterator[_Row]:
    for category in definition.categories:
        file = f"lexicon/{category.name}.csv"
        if folder.has(file):
            for line, (term, role) in folder.rows(file, ["term", "role"]):
                yield _Row(Entry(term, category.name, role), file, line, "".join(cut_words(term)))


def _reached(folder: Folder, rows: list[_Row], definition: Definition) -> list[_Row]:
    """Return the rows that tags lead to; note those with a hyphen and the like, which no tag has."""
    lexicon = definition.grammar.lexicon
    reached = []
    for row in rows:
        words = lexicon.spell(cut_words(normalise(row.entry.term)))
        found = lexicon.find(words) if words else None
        if found and found[0].term == row.entry.term:
            reached.append(row)
        elif found and found[0][1:] == row.entry[1:]:
            what = f"{row.entry.term!r} is read as the row {found[0].term!r}; delete it"
            folder.fault(row.file, row.line, "row-redundant", what)
        else:
            what = f"no tag is read as {row.entry.term!r}; write it {' '.join(words)!r}"
            folder.fault(row.file, row.line, "row-unreachable", what)
    return reached


def _check_spellings(folder: Folder, rows: list[_Row]) -> None:
    """Note terms that two categories hold in two spellings, such as `book shelf` and `bookshelf`.

    Singular and plural may part: `glass` is a material and `glasses` are worn.
    """
    seen: dict[str, _Row] = {}
    for row in rows:
        other = seen.setdefault(row.key, row)
        if other.entry.category != row.entry.category:
            what = f"{row.entry.term!r} is the same term as {other}; keep it in one category"
            folder.fault(row.file, row.line, "tag-in-two-categories", what)


def _check_repeats(folder: Folder, rows: list[_Row], definition: Definition) -> None:
    """Note rows that could all go, for another row of their category and role would be found.

    Of two such rows the plural is the one to delete, else the longer.
    """
    spelled: dict[str, list[_Row]] = {}
    for row in rows:
        spelled.setdefault(row.key, []).append(row)
    plurals = _plurals(definition)
    gone: set[_Row] = set()
    relying: dict[_Row, list[_Row]] = {}  # the rows that went because this one is found in their place
    for row in sorted(
        rows, key=lambda row: (_last(row) not in plurals, -len(row.entry.term), row.entry.term)
    ):
        gone.add(row)
        lost = [row, *relying.get(row, [])]
        twins = [twin for one in lost if (twin := _twin(one, spelled, gone, definition))]
        if len(twins) < len(lost) or any(twin.entry[1:] != row.entry[1:] for twin in twins):
            gone.remove(row)
            continue
        for one, twin in zip(lost, twins, strict=True):
            relying.setdefault(twin, []).append(one)
        what = f"{row.entry.term!r} is found as {twins[0]} without this row; delete it"
        folder.fault(row.file, row.line, "row-redundant", what)


def _plurals(definition: Definition) -> set[str]:
    """Return the irregular plurals: of each pair, which is stored both ways, the singular comes first."""
    plurals: set[str] = set()
    for one, other in definition.irregular.items():
        if one not in plurals:
            plurals.add(other)
    return plurals


def _last(row: _Row) -> str:
    return row.entry.term.rpartition(" ")[2]


def _twin(row: _Row, spelled: dict[str, list[_Row]], gone: set[_Row], definition: Definition) -> _Row | None:
    """Return the row that the words of `row` lead to when those that are `gone` are not there."""
    last = cut_words(row.entry.term)[-1]
    head = row.key.removesuffix(last)
    keys = [row.key, *(head + form for form in other_forms(last, definition.irregular))]
    return next((one for key in keys for one in spelled.get(key, []) if one not in gone), None)


def _check_seed(
    folder: Folder, file: str, line: int, tag: str, category: str, definition: Definition
) -> None:
    """Note a row that takes a seed, or the plural or singular of one, out of its category."""
    *head, last = tag.split(" ")
    forms = [" ".join([*head, form]) for form in other_forms(last, definition.irregular)]
    seed = next((form for form in (tag, *forms) if form in definition.seeds), "")
    if seed and definition.seeds[seed] != category:
        same = "is the seed" if seed == tag else "is a form of the seed"
        what = f"{tag!r} is {category} here and {same} {seed!r}, which is {definition.seeds[seed]}"
        folder.fault(file, line, "seed-moved", f"{what}; delete this row, or the seed if it is wrong")
