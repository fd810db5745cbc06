"""Reading the files of an ontology folder: every fault is noted by file and line, none is raised alone."""

from __future__ import annotations

import csv
import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tagflow.ontology_grammar import (
    LONGEST_TERM,
    UNKNOWN,
    Entry,
    Grammar,
    Lexicon,
    Look,
    Rule,
    compile_shape,
    normalise,
)


@dataclass(slots=True)
class Folder:
    """The files of an ontology and all that is wrong with them, as `file:line: what`."""

    root: Path
    faults: list[str] = field(default_factory=list)

    def fault(self, name: str, line: int, what: str) -> None:
        """Note that `what` is wrong in a file."""
        self.faults.append(f"{self.root / name}:{line}: {what}")

    def text(self, name: str) -> str:
        """Return a file's text; what cannot be read is a fault, and empty."""
        try:
            return (self.root / name).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            self.fault(name, 1, f"cannot be read ({error.__class__.__name__})")
            return ""

    def toml(self, name: str) -> dict[str, Any]:
        """Return a TOML file's tables; what is not TOML is a fault, and empty."""
        text = self.text(name)
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"at line (\d+)", str(error))
            self.fault(name, int(line[1]) if line else text.count("\n") + 1, f"is not TOML: {error}")
            return {}

    def rows(self, name: str, header: list[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield (line, cells) of a CSV file whose first line is `header`."""
        reader = csv.reader(self.text(name).splitlines())
        if (first := next(reader, [])) != header:
            self.fault(name, 1, f"the header is {','.join(first)!r}, not {','.join(header)!r}")
        for cells in reader:
            if len(cells) == len(header):
                yield reader.line_num, [cell.strip() for cell in cells]
            elif cells:
                self.fault(name, reader.line_num, f"{len(cells)} cells, not {len(header)}")

    def line(self, name: str, needle: str) -> int:
        """Return the line on which `needle` first stands, for files whose reader keeps no lines."""
        lines = self.text(name).splitlines()
        return next((at for at, line in enumerate(lines, 1) if needle in line), 1)

    def hash(self) -> str:
        """Return the SHA-256 over names and bytes of all data files, the same on every system."""
        digest = hashlib.sha256()
        files = [p for p in self.root.rglob("*") if p.suffix in (".toml", ".csv") and p.is_file()]
        for name, path in sorted((p.relative_to(self.root).as_posix(), p) for p in files):
            content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Definition:
    """What the files of an ontology say."""

    name: str
    hash: str
    categories: tuple[str, ...]
    fallback: str
    seeds: Mapping[str, str]
    irregular: Mapping[str, str]
    grammar: Grammar


def read_folder(folder: Folder) -> Definition:
    """Read all files of `folder`, noting faults there; what is returned is of use only if there are none."""
    about, rules = folder.toml("ontology.toml"), folder.toml("rules.toml")
    categories = _categories(folder, about)
    irregular = {w: f for pair in str(rules.get("irregular", "")).split() for w, f in _both(pair)}
    aliases = _aliases(folder)
    entries = [entry for name in categories for entry in _entries(folder, name)]
    _cross_check(folder, entries, aliases)
    seeds = _seeds(folder, categories)
    # Inside longer tags ("two chairs") a seed is a term like any other; a row may give it a role.
    terms = {entry.term for entry in entries}
    entries += [Entry(tag, category) for tag, category in seeds.items() if tag not in terms]
    lexicon = Lexicon(entries, aliases, irregular)
    return Definition(
        name=str(about.get("name", "")),
        hash=folder.hash(),
        categories=categories,
        fallback=str(about.get("fallback", "")),
        seeds=seeds,
        irregular=irregular,
        grammar=_grammar(folder, rules, lexicon, categories, {entry.label for entry in entries}),
    )


def _categories(folder: Folder, about: Mapping[str, Any]) -> tuple[str, ...]:
    names = tuple(str(category.get("name", "")) for category in about.get("category", []))
    for key in ("name", "fallback", "category"):
        if key not in about:
            folder.fault("ontology.toml", 1, f"{key} is missing")
    if about.get("fallback", "") not in (*names, ""):
        folder.fault("ontology.toml", folder.line("ontology.toml", "fallback"), "fallback is no category")
    if len(set(names)) < len(names):
        folder.fault("ontology.toml", 1, "a category stands twice")
    return names


def _both(pair: str) -> tuple[tuple[str, str], ...]:
    one, _, many = pair.partition("=")
    return (one, many), (many, one)


def _seeds(folder: Folder, categories: Sequence[str]) -> dict[str, str]:
    seeds: dict[str, str] = {}
    for line, (tag, category) in folder.rows("seeds.csv", ["tag", "category"]):
        if category not in categories:
            folder.fault("seeds.csv", line, f"{category!r} is no category")
        if seeds.setdefault(tag, category) != category or tag != normalise(tag):
            folder.fault("seeds.csv", line, f"{tag!r} stands twice or is not in plain lower case")
    return seeds


def _aliases(folder: Folder) -> dict[str, str]:
    aliases: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, (alias, term) in folder.rows("aliases.csv", ["alias", "term"]):
        if alias in aliases:
            folder.fault("aliases.csv", line, f"{alias!r} stands twice (line {lines[alias]})")
        aliases[alias], lines[alias] = term, line
    for alias, term in aliases.items():
        if term in aliases:
            folder.fault("aliases.csv", lines[alias], f"{alias!r} leads to {term!r}, itself an alias")
    return aliases


def _entries(folder: Folder, category: str) -> Iterator[Entry]:
    name = f"lexicon/{category}.csv"
    last = ""
    for line, (term, role) in folder.rows(name, ["term", "role"]):
        if term <= last:
            folder.fault(name, line, f"{term!r} is not in order after {last!r}, or stands twice")
        if term.count(" ") >= LONGEST_TERM or term != " ".join(term.lower().split()):
            folder.fault(name, line, f"{term!r} is not in plain lower case, or too long")
        last = term
        yield Entry(term, category, role)


def _cross_check(folder: Folder, entries: Sequence[Entry], aliases: Mapping[str, str]) -> None:
    """Note terms of two categories, and terms that no tag can reach because an alias changes their words."""
    homes: dict[str, str] = {}
    for entry in entries:
        name = f"lexicon/{entry.category}.csv"
        if (home := homes.setdefault(entry.term, entry.category)) != entry.category:
            folder.fault(name, folder.line(name, entry.term), f"{entry.term!r} is also in {home}.csv")
        if entry.term in aliases or any(word in aliases for word in entry.term.split(" ")):
            folder.fault(name, folder.line(name, entry.term), f"{entry.term!r} is spelled as an alias")


def _grammar(
    folder: Folder, rules: Mapping[str, Any], lexicon: Lexicon, categories: Sequence[str], labels: set[str]
) -> Grammar:
    words = {word: label for label, listed in rules.get("words", {}).items() for word in listed.split()}
    looks = [
        Look(_pattern(folder, row), row["label"], row.get("category", ""))
        for row in _rows(folder, rules, "look", ("pattern", "label"))
    ]
    codes = _codes(rules, {*labels, *categories, *words.values(), *(look.label for look in looks), UNKNOWN})
    texts = [
        Rule(row["name"], _pattern(folder, row), row.get("category", ""))
        for row in _rows(folder, rules, "text", ("name", "pattern"))
    ]
    table = [
        Rule(row["name"], _shape(folder, row, codes), row.get("category", ""))
        for row in _rows(folder, rules, "rule", ("name", "shape"))
    ]
    for given in sorted({one.category for one in (*texts, *table)} | {look.category for look in looks}):
        if given not in (*categories, ""):
            line = folder.line("rules.toml", f'category = "{given}"')
            folder.fault("rules.toml", line, f"{given!r} is no category")
    return Grammar(lexicon, words, looks, texts, table, codes)


def _rows(
    folder: Folder, rules: Mapping[str, Any], table: str, keys: Sequence[str]
) -> Iterator[Mapping[str, str]]:
    """Yield the rows of a table of `rules.toml` that have all of `keys`."""
    for row in rules.get(table, []):
        missing = [key for key in keys if not isinstance(row.get(key), str)]
        if missing:
            folder.fault("rules.toml", folder.line("rules.toml", f"[[{table}]]"), f"{missing[0]} is missing")
        else:
            yield row


def _codes(rules: Mapping[str, Any], labels: set[str]) -> dict[str, str]:
    """Return what each name in a shape stands for: a label for a character, a group for its members' ones."""
    codes = {label: chr(0x4E00 + at) for at, label in enumerate(sorted(labels))}
    for group, members in rules.get("groups", {}).items():
        codes[group] = "".join(codes.get(member, "") for member in members.split())
    return codes


def _pattern(folder: Folder, row: Mapping[str, str]) -> re.Pattern[str]:
    try:
        return re.compile(row["pattern"])
    except re.error as error:
        line = folder.line("rules.toml", row["pattern"])
        folder.fault("rules.toml", line, f"pattern: {error}")
        return re.compile("(?!)")


def _shape(folder: Folder, row: Mapping[str, str], codes: Mapping[str, str]) -> re.Pattern[str]:
    try:
        return compile_shape(row["shape"], codes)
    except (KeyError, re.error) as error:
        line = folder.line("rules.toml", row["shape"])
        folder.fault("rules.toml", line, f"shape: no label or group {error}")
        return re.compile("(?!)")
