"""An ontology folder and an overlay read whole; open it for what each of their files may hold.

The files have categories, profiles, seeds, aliases, a lexicon and rules. An overlay is a user's own tags over
an ontology: one CSV file, `tag,category` a row, beside the dataset. Faults are noted in the folder; nothing
raises.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagflow.ontology.folder import Folder, cells
from tagflow.ontology.grammar import LONGEST_TERM, Entry, Grammar, Lexicon, normalise
from tagflow.ontology.rules import NAME, RESERVED, named_labels, read_grammar, read_irregular


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
    rows: list[tuple[int, Entry]] = []
    for category in categories:
        name = f"lexicon/{category}.csv"
        last = ""
        for line, (term, role) in folder.rows(name, ["term", "role"]):
            if term <= last:
                what = f"{term!r} is not in order after {last!r}, or stands twice"
                folder.fault(name, line, "row-unsorted", what)
            if term.count(" ") >= LONGEST_TERM or not term or term != " ".join(term.lower().split()):
                what = f"{term!r} is empty, too long, or not in plain lower case"
                folder.fault(name, line, "not-plain", what)
            last = term
            rows.append((line, Entry(term, category, role)))
    _cross_check(folder, rows, aliases, roles)
    return [entry for _, entry in rows]


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


HEADER = ["tag", "category"]


def read_overlay(folder: Folder, name: str, categories: Sequence[str] | None) -> dict[str, str]:
    """Return the category of each tag of an overlay file; what is wrong with a row is a fault of `folder`.

    categories: None where the ontology's own could not be read.
    """
    found: dict[str, str] = {}
    for line, (tag, category) in folder.rows(name, HEADER, empty_ok=True):
        plain = normalise(tag)
        if categories is not None and category not in categories:
            what = f"{category!r} is no category (categories: {', '.join(categories)})"
            folder.fault(name, line, "no-category", what)
        elif not plain:
            folder.fault(name, line, "bad-row", "the tag is empty")
        elif found.setdefault(plain, category) != category:
            folder.fault(name, line, "tag-in-two-categories", f"{tag!r} is also in {found[plain]}")
    return found


def merged(text: str, tags: Mapping[str, str]) -> str:
    """Return the text of an overlay file with `tags` (to their categories) in it.

    Rows that are there stay where they are; one of the same tag gets the new category. `text` is empty for
    a new file, and otherwise as it lies on disk: its line breaks and a byte order mark stay.
    """
    parts = re.split(r"(\r\n|\r|\n)", text)  # each line, and how it ends
    newline = parts[1] if len(parts) > 1 else "\n"
    if not text.strip("\ufeff\r\n\t "):
        parts = [text[: text.startswith("\ufeff")] + ",".join(HEADER)]
    new = {normalise(tag): (tag, category) for tag, category in tags.items()}
    there: set[str] = set()
    for at in range(2, len(parts), 2):
        row = cells(parts[at])
        if len(row) == len(HEADER) and (plain := normalise(row[0])) in new:
            parts[at] = _row(row[0].strip(), new[plain][1])
            there.add(plain)
    rows = [_row(*new[plain]) for plain in sorted(new.keys() - there, key=lambda plain: new[plain])]
    return "".join(parts) + newline * bool(parts[-1]) + "".join(row + newline for row in rows)


def _row(tag: str, category: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([tag, category])
    return line.getvalue()


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
    read, rules = folder.toml(ABOUT), folder.toml(NAME)
    about = read or {}
    categories = [] if read is None else _categories(folder, about)
    names = [category.name for category in categories]
    known = names or None  # of a file that names none, the others are still checked for what needs none
    aliases, fallback = read_aliases(folder), str(about.get("fallback", ""))
    if known is None:  # then the files of rows say how they are called
        lexicon = sorted(path.stem for path in folder.root.glob("lexicon/*.csv"))
    else:  # what belongs nowhere else need not be listed
        lexicon = [name for name in known if name != fallback or folder.has(f"lexicon/{name}.csv")]
    entries = read_lexicon(folder, lexicon, aliases, None if rules is None else named_labels(rules))
    seeds = read_seeds(folder, entries, known)
    own, digest = _own(folder, overlay, known)
    irregular = read_irregular(folder, rules or {})
    # What is met inside longer tags ("two chairs"). There a seed is a term like any other; a row may give it
    # a role. The user's word comes before both.
    terms = {entry.term: entry for entry in entries}
    terms |= {t: Entry(t, c) for t, c in seeds.items() if t not in terms and " " not in t}
    terms |= {t: Entry(t, c) for t, c in own.items() if t not in terms or terms[t].category != c}
    # A role that an overlay takes from its last row is still one that the rules may speak of.
    labels = {entry.label for entry in (*entries, *terms.values())}
    is_whole = known is not None and all(folder.text(f"lexicon/{name}.csv") is not None for name in lexicon)
    profiles = _profiles(folder, about, known)
    hashed = folder.hash()
    order = next((one.order for one in profiles if profile in ("", one.name)), tuple(names))
    if order != tuple(names) or digest:  # another order than the files' own, or an overlay, changes it
        hashed = hashlib.sha256(f"{hashed}\0{' '.join(order)}\0{digest}".encode()).hexdigest()
    return Definition(
        name=str(about.get("name", "")),
        version=str(about.get("version", "")),
        hash=hashed,
        categories=tuple(
            sorted(categories, key=lambda one: order.index(one.name) if one.name in order else 0)
        ),
        profiles=profiles,
        fallback=fallback,
        own=own,
        seeds=seeds,
        irregular=irregular,
        entries=tuple(entries),
        grammar=read_grammar(
            folder,
            rules or {},
            Lexicon(list(terms.values()), aliases, irregular),
            known,
            labels if is_whole else None,
        ),
    )


def _own(
    folder: Folder, overlay: Path | None, categories: Sequence[str] | None
) -> tuple[dict[str, str], str]:
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
        folder.fault(
            ABOUT, folder.toml_line(ABOUT, table), "wrong-type", f"write each {table} as [[{table}]]"
        )
        return []
    for at, row in enumerate(rows):
        for key in sorted(row.keys() - keys):
            line = folder.toml_line(ABOUT, table, key, at)
            what = f"[[{table}]]: {key!r} is not known here (known: {', '.join(sorted(keys))})"
            folder.fault(ABOUT, line, "unknown-key", what)
    return rows


def _categories(folder: Folder, about: Mapping[str, Any]) -> list[Category]:
    for key in ("name", "fallback", "category"):
        if not about.get(key):
            folder.fault(ABOUT, 1, "key-missing", f"{key} is missing")
    if about.get("name") and not re.fullmatch(r"[A-Za-z][\w-]*", str(about["name"])):
        what = "the name of an ontology is letters, digits, hyphens and underscores"
        folder.fault(ABOUT, folder.toml_line(ABOUT, "name"), "bad-name", what)
    for key in sorted(about.keys() - {"name", "version", "fallback", "category", "profile"}):
        folder.fault(ABOUT, folder.toml_line(ABOUT, key), "unknown-key", f"{key!r} is not known here")
    found: list[Category] = []
    for at, row in enumerate(_tables(folder, about, "category", {"name", "title", "description"})):
        name = row.get("name")
        line = folder.toml_line(ABOUT, "category", "name", at)
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z_]*", name):
            what = "a category's name is lower case letters and underscores"
            folder.fault(ABOUT, line, "bad-name", what)
            continue
        if name in (one.name for one in found):
            folder.fault(ABOUT, line, "category-twice", f"the category {name!r} stands twice")
            continue
        if name in RESERVED:
            folder.fault(ABOUT, line, "bad-name", f"{name!r} has a meaning of its own in shapes")
        found.append(Category(name, str(row.get("title", name)), str(row.get("description", ""))))
    fallback = about.get("fallback")
    if fallback and fallback not in [one.name for one in found]:
        what = f"the fallback {fallback!r} is no category"
        folder.fault(ABOUT, folder.toml_line(ABOUT, "fallback"), "no-category", what)
    return found


def _profiles(
    folder: Folder, about: Mapping[str, Any], categories: Sequence[str] | None
) -> tuple[Profile, ...]:
    found: list[Profile] = []
    for at, row in enumerate(_tables(folder, about, "profile", {"name", "description", "order"})):
        name, order = row.get("name"), row.get("order")
        before = len(folder.faults)
        line = folder.toml_line(ABOUT, "profile", "name", at)
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            what = "a profile's name is lower case letters, digits and hyphens"
            folder.fault(ABOUT, line, "bad-name", what)
        elif name in (one.name for one in found):
            folder.fault(ABOUT, line, "profile-twice", f"the profile {name!r} stands twice")
        whole = isinstance(order, list) and sorted(map(str, order)) == sorted(categories or map(str, order))
        if not whole:
            line = folder.toml_line(ABOUT, "profile", "order", at)
            what = "order must name each category once"
            folder.fault(ABOUT, line, "bad-order", f"the profile {name!r}: {what}")
        if len(folder.faults) == before:
            found.append(Profile(str(name), str(row.get("description", "")), tuple(order or ())))
    return tuple(found)
