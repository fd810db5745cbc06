"""Faults of an ontology or an overlay that loads; open it to add one, or where a good row is blamed.

Loading refuses what cannot be used. Here is noted what can be used and was hardly meant: a rule that those
above it leave nothing to, an alias that mends nothing, a row that contradicts or repeats another or that no
tag meets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tagflow.findings.finding import Finding
from tagflow.ontology.classifier import Ontology, find
from tagflow.ontology.folder import Folder
from tagflow.ontology.grammar import (
    LONGEST_TERM,
    Entry,
    Grammar,
    cut_words,
    is_sign,
    normalise,
    other_forms,
)
from tagflow.ontology.reach import reach
from tagflow.ontology.read import ABOUT, HEADER, Definition, read_folder
from tagflow.ontology.rules import NAME, named_labels


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
    rows: list[_Row] = []
    for category in definition.categories:
        file = f"lexicon/{category.name}.csv"
        if folder.has(file):
            for line, (term, role) in folder.rows(file, ["term", "role"]):
                rows.append(_Row(Entry(term, category.name, role), file, line, "".join(cut_words(term))))
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
            folder.fault(name, line, "row-redundant", f"{tag!r} stands in line {first} already")
        elif verdict.known and verdict.category == category:
            what = f"{tag!r} is {category} without this row ({verdict.rule})"
            folder.fault(name, line, "row-redundant", what)
        else:
            _check_seed(folder, name, line, text, category, definition)


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
            what = f"{row.entry.term!r} is read as the row {found[0].term!r}"
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
            what = f"{row.entry.term!r} is the same term as {other}"
            folder.fault(row.file, row.line, "tag-in-two-categories", what)


def _check_repeats(folder: Folder, rows: list[_Row], definition: Definition) -> None:
    """Note rows that could all go, for another row of their category and role would be found.

    Of two such rows the plural is the one to delete, else the longer.
    """
    spelled: dict[str, list[_Row]] = {}
    for row in rows:
        spelled.setdefault(row.key, []).append(row)
    plurals: set[str] = set()  # irregular ones: of each pair, stored both ways, the singular comes first
    for singular, plural in definition.irregular.items():
        if singular not in plurals:
            plurals.add(plural)
    gone: set[_Row] = set()
    relying: dict[_Row, list[_Row]] = {}  # the rows that went because this one is found in their place
    order = {
        row: (row.entry.term.rpartition(" ")[2] not in plurals, -len(row.entry.term), row.entry.term)
        for row in rows
    }
    for row in sorted(rows, key=order.__getitem__):
        gone.add(row)
        lost = [row, *relying.get(row, [])]
        twins = [twin for one in lost if (twin := _twin(one, spelled, gone, definition))]
        if len(twins) < len(lost) or any(twin.entry[1:] != row.entry[1:] for twin in twins):
            gone.remove(row)
            continue
        for one, twin in zip(lost, twins, strict=True):
            relying.setdefault(twin, []).append(one)
        what = f"{row.entry.term!r} is found as {twins[0]} without this row"
        folder.fault(row.file, row.line, "row-redundant", what)


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
        folder.fault(file, line, "seed-moved", what)


ALIASES = "aliases.csv"


def lint(source: str | Path, overlay: Path | None = None) -> list[Finding]:
    """Return all that is wrong or idle in an ontology and in a user's own tags over it.

    Faults that keep the ontology from loading come alone: nothing deeper can be said of such a folder.
    Raises OntologyError where there is no ontology, UsageProblem where it has no profile of that name.
    """
    root, profile = find(source)
    folder = Folder(root)
    definition = read_folder(folder, profile, overlay)
    if folder.faults:
        return folder.faults
    plain = Ontology.load(source)
    rules = folder.toml(NAME) or {}
    _check_files(folder, plain.categories)
    _check_table(folder, definition.grammar)
    _check_repeated_patterns(folder, rules)
    _check_unused_names(folder, rules)
    _check_aliases(folder, definition)
    check_rows(folder, definition)
    if overlay:
        check_overlay(Folder(overlay.parent, folder.faults), overlay.name, definition, plain)
    return sorted(
        folder.faults, key=lambda one: (one.where.file or "", one.where.line or 0, one.code, one.detail)
    )


def _check_files(folder: Folder, categories: Sequence[str]) -> None:
    """Note data files that nothing reads: they would change the hash and nothing else."""
    known = {ABOUT, NAME, ALIASES, "seeds.csv", *(f"lexicon/{category}.csv" for category in categories)}
    for path in folder.root.rglob("*"):
        name = path.relative_to(folder.root).as_posix()
        if path.suffix in (".csv", ".toml") and name not in known:
            what = "no category has this name" if name.startswith("lexicon/") else "is no file of an ontology"
            folder.fault(name, 1, "file-stray", f"{what}, so only the hash sees it")


def _check_table(folder: Folder, grammar: Grammar) -> None:
    """Note the rules of the table that no phrase gets to."""
    letters = [code for code in grammar.codes.values() if len(code) == 1]
    for at, found in enumerate(reach(grammar.rules, "".join(dict.fromkeys(letters)))):
        name, line = grammar.rules[at].name, folder.toml_line(NAME, "rule", row=at)
        if found.state == "unreachable":
            above = [
                f"{grammar.rules[one].name!r} (line {folder.toml_line(NAME, 'rule', row=one)})"
                for one in found.above
            ]
            leave = "leaves" if len(above) == 1 else "together leave"
            what = f"no phrase gets to {name!r}: {', '.join(above)} {leave} it nothing"
            folder.fault(NAME, line, "rule-unreachable", what)
        elif found.state == "undecided":
            what = f"whether a phrase gets to {name!r} could not be found out"
            folder.fault(NAME, line, "reach-undecided", what)


def _check_repeated_patterns(folder: Folder, rules: Mapping[str, Any]) -> None:
    """Note texts and looks that repeat a pattern: the first one always decides."""
    for table in ("text", "look"):
        seen: dict[str, int] = {}
        for at, row in enumerate(rules.get(table, [])):
            if (first := seen.setdefault(row["pattern"], at)) != at:
                line, above = (folder.toml_line(NAME, table, row=one) for one in (at, first))
                what = f"[[{table}]]: line {above} has the same pattern and decides"
                folder.fault(NAME, line, "rule-unreachable", what)


def _check_unused_names(folder: Folder, rules: Mapping[str, Any]) -> None:
    """Note groups and word lists of which no shape speaks."""
    spoken = named_labels(rules)
    for table, code in (("groups", "group-unused"), ("words", "words-unused")):
        for name in rules.get(table, {}):
            if name not in spoken:
                what = f"no shape and no group speaks of {name!r}"
                folder.fault(NAME, folder.toml_line(NAME, table, name), code, f"[{table}]: {what}")


def _check_aliases(folder: Folder, definition: Definition) -> None:
    """Note aliases that lead to an alias, that no tag can be written as, or that lead to no known word."""
    if not folder.has(ALIASES):
        return
    rows = list(folder.rows(ALIASES, ["alias", "term"]))
    aliases = {alias: term for _, (alias, term) in rows}
    terms = [*(entry.term for entry in definition.entries), *definition.seeds, *definition.own]
    words = {word for term in terms for word in cut_words(term)}
    for line, (alias, term) in rows:
        if again := next((word for word in term.split() if word in aliases), ""):
            what = f"{alias!r} leads to {term!r}, where {again!r} is an alias; write {aliases[again]!r}"
            folder.fault(ALIASES, line, "alias-loop", what)
        elif strange := _why_not_met(alias, aliases):
            folder.fault(ALIASES, line, "alias-unused", f"no tag is read as {alias!r}{strange}")
        # Anywhere: a term, or words of rows, lists and looks.
        elif not term or (
            definition.grammar.has_strange_word(term)
            and not all({word, *other_forms(word, definition.irregular)} & words for word in term.split())
        ):
            what = f"{alias!r} leads to {term!r}, which nothing knows"
            folder.fault(ALIASES, line, "alias-unused", what)


def _why_not_met(alias: str, aliases: Mapping[str, str]) -> str:
    """Say why no tag can be written as an alias, and the cure; empty where one can."""
    words = cut_words(normalise(alias))
    if " ".join(words) != alias or not words:
        return f"; write it {' '.join(words)!r}" if words else ", which holds no word"
    if len(words) > LONGEST_TERM:
        return f", which has more than {LONGEST_TERM} words; write a shorter one"
    if len(words) > 1 and (again := next((word for word in words if word in aliases), "")):
        return f", for {again!r} is an alias and is mended first; write {aliases[again]!r} for it"
    return ""
