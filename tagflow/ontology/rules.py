"""Reading `rules.toml`: word lists, looks, texts and the table, each checked against the labels there are."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tagflow.ontology.folder import Folder
from tagflow.ontology.grammar import UNKNOWN, Grammar, Look, Rule, compile_shape
from tagflow.ontology.words import Lexicon

NAME = "rules.toml"
# The arrays of tables that a rules file may hold, with the keys that each row must have and may have.
TABLES = {
    "look": ({"pattern", "label"}, {"category"}),
    "text": ({"name", "pattern"}, {"category"}),
    "rule": ({"name", "shape"}, {"category"}),
}
_TOP: dict[str, type] = {"irregular": str, "words": dict, "groups": dict, **dict.fromkeys(TABLES, list)}
Row = tuple[int, Mapping[str, str]]  # its number in its array, and its keys


def read_irregular(folder: Folder, rules: Mapping[str, Any]) -> dict[str, str]:
    """Return the irregular plurals, each way round."""
    found: dict[str, str] = {}
    for pair in str(rules.get("irregular", "")).split():
        one, equals, many = pair.partition("=")
        if not (one and equals and many):
            folder.fault(NAME, folder.line(NAME, pair), "bad-row", f"irregular: {pair!r} is not one=many")
        found |= {one: many, many: one}
    return found


def read_grammar(
    folder: Folder, rules: Mapping[str, Any], lexicon: Lexicon, categories: Sequence[str], labels: set[str]
) -> Grammar:
    """Return the grammar that `rules` (the tables of the file) describe; faults are noted in `folder`."""
    _check_top(folder, rules)
    words = _words(folder, rules)
    rows = {table: list(_rows(folder, rules, table, categories)) for table in TABLES}
    looks = [Look(_pattern(folder, "look", row), row[1]["label"], _category(row)) for row in rows["look"]]
    known = {*labels, *categories, *words.values(), *(look.label for look in looks), UNKNOWN}
    codes = _codes(folder, rules, known)
    texts = [Rule(row[1]["name"], _pattern(folder, "text", row), _category(row)) for row in rows["text"]]
    table = [Rule(row[1]["name"], _shape(folder, row, codes), _category(row)) for row in rows["rule"]]
    for kind, read in (("text", texts), ("rule", table)):
        _check_decisions(folder, kind, rows[kind], read)
    return Grammar(lexicon, words, looks, texts, table, codes)


def named_labels(rules: Mapping[str, Any]) -> set[str]:
    """Return every name that a shape or a group speaks of."""
    shapes = (str(row.get("shape", "")) for row in rules.get("rule", []) if isinstance(row, dict))
    groups = map(str, _table(rules, "groups").values())
    return {name for text in (*shapes, *groups) for name in re.findall(r"[a-z_]+", text)}


def _table(rules: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = rules.get(name)
    return table if isinstance(table, dict) else {}


def _check_top(folder: Folder, rules: Mapping[str, Any]) -> None:
    for key, value in rules.items():
        if key not in _TOP:
            what = f"{key!r} is not known here (known: {', '.join(_TOP)})"
            folder.fault(NAME, folder.line(NAME, key), "unknown-key", what)
        elif not isinstance(value, _TOP[key]):
            folder.fault(
                NAME, folder.line(NAME, key), "wrong-type", f"{key!r} must be a {_TOP[key].__name__}"
            )
    for table in ("words", "groups"):
        for key, value in _table(rules, table).items():
            if not isinstance(value, str):
                what = f"{table}.{key} must be one string of words"
                folder.fault(NAME, folder.key_line(NAME, table, key), "wrong-type", what)


def _words(folder: Folder, rules: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for label, listed in _table(rules, "words").items():
        for word in str(listed).split():
            if found.setdefault(word, label) != label:
                what = f"the word {word!r} is in the lists {found[word]!r} and {label!r}"
                folder.fault(NAME, folder.key_line(NAME, "words", label), "word-in-two-lists", what)
    return found


def _rows(folder: Folder, rules: Mapping[str, Any], table: str, categories: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a table that can be read."""
    must, may = TABLES[table]
    rows = rules.get(table)
    for at, row in enumerate(rows if isinstance(rows, list) else []):
        faults = list(_row_faults(row, must, may, categories))
        for key, code, what in faults:
            folder.fault(NAME, folder.row_line(NAME, table, at, key), code, f"[[{table}]]: {what}")
        if not faults:
            yield at, row


def _row_faults(
    row: object, must: set[str], may: set[str], categories: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield (key, code, what) for each fault of a row."""
    if not isinstance(row, dict):
        yield "", "wrong-type", "a row must be a table"
        return
    for key in sorted(must - row.keys()):
        yield "", "key-missing", f"{key} is missing"
    for key, value in row.items():
        if key not in must | may:
            yield key, "unknown-key", f"{key!r} is not known here (known: {', '.join(sorted(must | may))})"
        elif not isinstance(value, str):
            yield key, "wrong-type", f"{key} must be a string"
        elif key == "category" and value not in categories:
            yield key, "no-category", f"{value!r} is no category"


def _category(row: Row) -> str:
    return row[1].get("category", "")


def _codes(folder: Folder, rules: Mapping[str, Any], labels: set[str]) -> dict[str, str]:
    """Return what each name in a shape stands for: a label for a character, a group for its members' ones."""
    codes = {label: chr(0x4E00 + at) for at, label in enumerate(sorted(labels))}
    for group, members in _table(rules, "groups").items():
        line = folder.key_line(NAME, "groups", group)
        if group in codes or group == "any":
            folder.fault(NAME, line, "group-is-label", f"the group {group!r} has the name of a label")
        for member in str(members).split():
            if member not in codes:
                what = f"the group {group!r} names {member!r}, which is no label or group above it"
                folder.fault(NAME, line, "no-label", what)
        if not str(members).split():
            folder.fault(NAME, line, "group-empty", f"the group {group!r} names nothing")
        codes[group] = "".join(codes.get(member, "") for member in str(members).split())
    return codes


def _pattern(folder: Folder, table: str, row: Row) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings(action="error"):  # what Python only warns of will mean another thing
            return re.compile(row[1]["pattern"])
    except (re.error, OverflowError, RecursionError, Warning) as error:
        line = folder.row_line(NAME, table, row[0], "pattern")
        folder.fault(NAME, line, "bad-pattern", f"pattern: {error}")
        return re.compile("(?!)")


def _shape(folder: Folder, row: Row, codes: Mapping[str, str]) -> re.Pattern[str]:
    try:
        return compile_shape(row[1]["shape"], codes)
    except KeyError as error:
        code, what = "no-label", f"shape: {error} is no label or group"
    except (re.error, OverflowError, RecursionError) as error:
        code, what = "bad-pattern", f"shape: {error}"
    folder.fault(NAME, folder.row_line(NAME, "rule", row[0], "shape"), code, what)
    return re.compile("(?!)")


def _check_decisions(folder: Folder, table: str, rows: Sequence[Row], rules: Sequence[Rule]) -> None:
    """Note rules that cannot decide: a rule says a category, or names the part of the phrase that does."""
    for (at, _), rule in zip(rows, rules, strict=True):
        part = "part" in rule.pattern.groupindex
        if part == bool(rule.category) and rule.pattern.pattern != "(?!)":
            what = (
                "both a category and a part that decides" if part else "neither a category nor a part in [ ]"
            )
            folder.fault(
                NAME, folder.row_line(NAME, table, at), "rule-undecided", f"{rule.name!r} has {what}"
            )
