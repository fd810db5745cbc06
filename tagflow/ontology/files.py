"""Reading an ontology folder whole: categories, profiles, seeds, aliases, lexicon, rules, and an overlay."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagflow.ontology.folder import Folder
from tagflow.ontology.grammar import Grammar
from tagflow.ontology.overlay import read_overlay
from tagflow.ontology.rules import named_labels, read_grammar, read_irregular
from tagflow.ontology.words import LONGEST_TERM, Entry, Lexicon, normalise

ABOUT = "ontology.toml"


@dataclass(frozen=True, slots=True)
class Category:
    """A category as its ontology describes it."""

    name: str
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Profile:
    """An order of the categories that a user can choose."""

    name: str
    description: str
    order: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """What the files of an ontology say. `categories` are in the order of the chosen profile."""

    name: str
    version: str
    hash: str
    categories: tuple[Category, ...]
    profiles: tuple[Profile, ...]
    fallback: str
    own: Mapping[str, str]  # the user's tags
    seeds: Mapping[str, str]
    irregular: Mapping[str, str]
    entries: tuple[Entry, ...]
    grammar: Grammar


def read_folder(folder: Folder, profile: str = "", overlay: Path | None = None) -> Definition:
    """Read all files of `folder`, noting faults there; what is returned is of use only if there are none."""
    about, rules = folder.toml(ABOUT), folder.toml("rules.toml")
    categories = _categories(folder, about)
    names = [category.name for category in categories]
    irregular, aliases = read_irregular(folder, rules), _aliases(folder)
    fallback = str(about.get("fallback", ""))
    # What belongs nowhere else need not be listed.
    listed = [name for name in names if name != fallback or folder.has(f"lexicon/{name}.csv")]
    entries = [entry for name in listed for entry in _entries(folder, name)]
    _cross_check(folder, entries, aliases, named_labels(rules))
    seeds = _seeds(folder, entries, names)
    own, digest = _own(folder, overlay, names)
    # Inside longer tags ("two chairs") a seed is a term like any other; a row may give it a role. The user's
    # word comes before both.
    terms = {entry.term: entry for entry in entries}
    terms |= {t: Entry(t, c) for t, c in seeds.items() if t not in terms and " " not in t}
    terms |= {t: Entry(t, c) for t, c in own.items() if t not in terms or terms[t].category != c}
    lexicon = Lexicon([*terms.values()], aliases, irregular)
    # A role that an overlay takes from its last row is still one that the rules may speak of.
    labels = {entry.label for entry in (*entries, *terms.values())}
    profiles = _profiles(folder, about, names)
    order = next((one.order for one in profiles if profile in ("", one.name)), tuple(names))
    return Definition(
        name=str(about.get("name", "")),
        version=str(about.get("version", "")),
        hash=_hash(folder.hash(), order, tuple(names), digest),
        categories=tuple(
            sorted(categories, key=lambda one: order.index(one.name) if one.name in order else 0)
        ),
        profiles=profiles,
        fallback=fallback,
        own=own,
        seeds=seeds,
        irregular=irregular,
        entries=tuple(entries),
        grammar=read_grammar(folder, rules, lexicon, names, labels),
    )


def _hash(files: str, order: tuple[str, ...], written: tuple[str, ...], overlay: str) -> str:
    """Return the hash of the files; a chosen order that is not the files' own, or an overlay, changes it."""
    if order == written and not overlay:
        return files
    return hashlib.sha256(f"{files}\0{' '.join(order)}\0{overlay}".encode()).hexdigest()


def _own(folder: Folder, overlay: Path | None, categories: Sequence[str]) -> tuple[dict[str, str], str]:
    """Return the rows of the user's overlay and a hash of them, empty where there are none."""
    if overlay is None:
        return {}, ""
    beside = Folder(overlay.parent, folder.faults)
    own = read_overlay(beside, overlay.name, categories)
    rows = "".join(f"{tag}\0{category}\0" for tag, category in sorted(own.items()))
    return own, hashlib.sha256(rows.encode()).hexdigest() if own else ""


def _tables(folder: Folder, about: Mapping[str, Any], table: str, keys: set[str]) -> list[dict[str, Any]]:
    """Return the rows of an array of tables of `ontology.toml`, each key noted that is not known."""
    rows = about.get(table, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        folder.fault(ABOUT, folder.line(ABOUT, table), "wrong-type", f"write each {table} as [[{table}]]")
        return []
    for at, row in enumerate(rows):
        for key in sorted(row.keys() - keys):
            line = folder.row_line(ABOUT, table, at, key)
            what = f"[[{table}]]: {key!r} is not known here (known: {', '.join(sorted(keys))})"
            folder.fault(ABOUT, line, "unknown-key", what)
    return rows


def _categories(folder: Folder, about: Mapping[str, Any]) -> list[Category]:
    for key in ("name", "fallback", "category"):
        if not about.get(key):
            folder.fault(ABOUT, 1, "key-missing", f"{key} is missing")
    if about.get("name") and not re.fullmatch(r"[A-Za-z][\w-]*", str(about["name"])):
        what = "the name of an ontology is letters, digits, hyphens and underscores"
        folder.fault(ABOUT, folder.line(ABOUT, "name"), "bad-name", what)
    for key in sorted(about.keys() - {"name", "version", "fallback", "category", "profile"}):
        folder.fault(ABOUT, folder.line(ABOUT, key), "unknown-key", f"{key!r} is not known here")
    found: list[Category] = []
    for at, row in enumerate(_tables(folder, about, "category", {"name", "title", "description"})):
        name = row.get("name")
        line = folder.row_line(ABOUT, "category", at, "name")
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z_]*", name):
            what = "a category's name is lower case letters and underscores"
            folder.fault(ABOUT, line, "bad-name", what)
        elif name in (one.name for one in found):
            folder.fault(ABOUT, line, "category-twice", f"the category {name!r} stands twice")
        else:
            found.append(Category(name, str(row.get("title", name)), str(row.get("description", ""))))
    fallback = about.get("fallback")
    if fallback and fallback not in [one.name for one in found]:
        what = f"the fallback {fallback!r} is no category"
        folder.fault(ABOUT, folder.line(ABOUT, "fallback"), "no-category", what)
    return found


def _profiles(folder: Folder, about: Mapping[str, Any], names: Sequence[str]) -> tuple[Profile, ...]:
    found: list[Profile] = []
    for at, row in enumerate(_tables(folder, about, "profile", {"name", "description", "order"})):
        name, order = row.get("name"), row.get("order")
        line = folder.row_line(ABOUT, "profile", at, "name")
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            folder.fault(
                ABOUT, line, "bad-name", "a profile's name is lower case letters, digits and hyphens"
            )
        elif name in (one.name for one in found):
            folder.fault(ABOUT, line, "profile-twice", f"the profile {name!r} stands twice")
        elif not isinstance(order, list) or sorted(map(str, order)) != sorted(names):
            line = folder.row_line(ABOUT, "profile", at, "order")
            what = f"order must name each of the {len(names)} categories once"
            folder.fault(ABOUT, line, "bad-order", f"the profile {name!r}: {what}")
        else:
            found.append(Profile(name, str(row.get("description", "")), tuple(order)))
    return tuple(found)


def _seeds(folder: Folder, entries: Sequence[Entry], categories: Sequence[str]) -> dict[str, str]:
    seeds: dict[str, str] = {}
    if not folder.has("seeds.csv"):
        return seeds
    homes = {entry.term: entry.category for entry in entries}
    for line, (tag, category) in folder.rows("seeds.csv", ["tag", "category"]):
        if category not in categories:
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


def _aliases(folder: Folder) -> dict[str, str]:
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


def _entries(folder: Folder, category: str) -> Iterator[Entry]:
    name = f"lexicon/{category}.csv"
    last = ""
    for line, (term, role) in folder.rows(name, ["term", "role"]):
        if term <= last:
            folder.fault(
                name, line, "row-unsorted", f"{term!r} is not in order after {last!r}, or stands twice"
            )
        if term.count(" ") >= LONGEST_TERM or not term or term != " ".join(term.lower().split()):
            folder.fault(name, line, "not-plain", f"{term!r} is empty, too long, or not in plain lower case")
        last = term
        yield Entry(term, category, role)


def _cross_check(
    folder: Folder, entries: Sequence[Entry], aliases: Mapping[str, str], roles: set[str]
) -> None:
    """Note terms of two categories, terms that no tag can reach because an alias changes their words, and
    roles that no rule speaks of."""
    homes: dict[str, str] = {}
    for entry in entries:
        name = f"lexicon/{entry.category}.csv"
        if (home := homes.setdefault(entry.term, entry.category)) != entry.category:
            what = f"{entry.term!r} is also in {home}.csv"
            folder.fault(name, folder.term_line(name, entry.term), "tag-in-two-categories", what)
        if entry.term in aliases or any(word in aliases for word in entry.term.split(" ")):
            what = f"{entry.term!r} is spelled as an alias, so no tag can reach it"
            folder.fault(name, folder.term_line(name, entry.term), "row-unreachable", what)
        if entry.role and entry.role not in roles:
            what = f"{entry.term!r} has the role {entry.role!r}, of which no rule speaks"
            folder.fault(name, folder.term_line(name, entry.term), "no-label", what)
