"""Reading the CSV files of an ontology: seeds, aliases, and the rows of the lexicon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tagflow.ontology.folder import Folder
from tagflow.ontology.rules import RESERVED
from tagflow.ontology.words import LONGEST_TERM, Entry, normalise


def read_seeds(folder: Folder, entries: Sequence[Entry], categories: Sequence[str] | None) -> dict[str, str]:
    """Return the category of each seed. categories: None where they could not be read."""
    seeds: dict[str, str] = {}
    if not folder.has("seeds.csv"):
        return seeds
    homes = {entry.term: entry.category for entry in entries}
    for line, (tag, category) in folder.rows("seeds.csv", ["tag", "category"]):
        if categories is not None and category not in categories:
            folder.fault("seeds.csv", line, "no-category", f"{category!r} is no category")
        elif homes.get(tag, category) != category:
            what = f"the seed {tag!r} is {category} here and {homes[tag]} in the lexicon"
            folder.fault("seeds.csv", line, "seed-moved", what)
        if tag in seeds:
            folder.fault("seeds.csv", line, "row-twice", f"{tag!r} stands twice")
        if tag != normalise(tag):
            folder.fault("seeds.csv", line, "not-plain", f"{tag!r} is not in plain lower case")
        seeds.setdefault(tag, category)
    return seeds


def read_aliases(folder: Folder) -> dict[str, str]:
    """Return what each alias leads to."""
    aliases: dict[str, str] = {}
    lines: dict[str, int] = {}
    if not folder.has("aliases.csv"):
        return aliases
    for line, (alias, term) in folder.rows("aliases.csv", ["alias", "term"]):
        if alias in aliases:
            folder.fault("aliases.csv", line, "row-twice", f"{alias!r} stands twice (line {lines[alias]})")
        for word in (alias, term):
            if not word or word != " ".join(word.lower().split()):
                what = f"{word!r} is empty or not in plain lower case"
                folder.fault("aliases.csv", line, "not-plain", what)
        aliases[alias], lines[alias] = term, line
    for alias, term in aliases.items():
        if term in aliases:
            what = f"{alias!r} leads to {term!r}, itself an alias"
            folder.fault("aliases.csv", lines[alias], "alias-loop", what)
    return aliases


def read_lexicon(
    folder: Folder, categories: Sequence[str], aliases: Mapping[str, str], roles: set[str] | None
) -> list[Entry]:
    """Return the rows of `categories`. roles: those that the rules speak of, None where nobody knows."""
    rows = [row for category in categories for row in _entries(folder, category)]
    _cross_check(folder, rows, aliases, roles)
    return [entry for _, entry in rows]


def _entries(folder: Folder, category: str) -> Iterator[tuple[int, Entry]]:
    name = f"lexicon/{category}.csv"
    last = ""
    for line, (term, role) in folder.rows(name, ["term", "role"]):
        if term <= last:
            what = f"{term!r} is not in order after {last!r}, or stands twice"
            folder.fault(name, line, "row-unsorted", what)
        if term.count(" ") >= LONGEST_TERM or not term or term != " ".join(term.lower().split()):
            folder.fault(name, line, "not-plain", f"{term!r} is empty, too long, or not in plain lower case")
        last = term
        yield line, Entry(term, category, role)


def _cross_check(
    folder: Folder, rows: Sequence[tuple[int, Entry]], aliases: Mapping[str, str], roles: set[str] | None
) -> None:
    """Note terms of two categories, terms that no tag can reach because an alias changes their words, and
    roles that no rule can speak of or none does."""
    homes: dict[str, str] = {}
    for line, entry in rows:
        name = f"lexicon/{entry.category}.csv"
        if (home := homes.setdefault(entry.term, entry.category)) != entry.category:
            folder.fault(name, line, "tag-in-two-categories", f"{entry.term!r} is also in {home}.csv")
        if entry.term in aliases or any(word in aliases for word in entry.term.split(" ")):
            what = f"{entry.term!r} is spelled as an alias, so no tag can reach it"
            folder.fault(name, line, "row-unreachable", what)
        if entry.role in RESERVED:
            what = f"{entry.term!r} has the role {entry.role!r}, which has a meaning of its own in shapes"
            folder.fault(name, line, "bad-name", what)
        elif entry.role and roles is not None and entry.role not in roles:
            what = f"{entry.term!r} has the role {entry.role!r}, of which no rule speaks"
            folder.fault(name, line, "no-label", what)
