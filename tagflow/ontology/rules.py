"""`rules.toml` read: word lists, looks, texts, the table; open it for what these may hold and for faults."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tagflow.ontology.folder import Folder
from tagflow.ontology.grammar import UNKNOWN, Grammar, Lexicon, Look, Rule, compile_shape
from tagflow.ontology.reach import why_slow

NAME = "rules.toml"
# The arrays of tables that a rules file may hold, with the keys that each row must have and may have.
TABLES = {
    "look": ({"pattern", "label"}, {"category"}),
    "text": ({"name", "pattern"}, {"category"}),
    "rule": ({"name", "shape"}, {"category"}),
}
_TOP: dict[str, type] = {"irregular": str, "words": dict, "groups": dict, **dict.fromkeys(TABLES, list)}
RESERVED = ("any", UNKNOWN)  # what shapes call every label, and the label of words that nothing knows
_NOTHING = re.compile("(?!)")


class Row(NamedTuple):
    """A row of an array of tables: its number there, its keys that are strings, and whether it has faults."""

    at: int
    keys: Mapping[str, str]
    is_sound: bool


def read_irregular(folder: Folder, rules: Mapping[str, Any]) -> dict[str, str]:
    """Return the irregular plurals, each way round."""
    found: dict[str, str] = {}
    told = rules.get("irregular", "")
    lines: dict[str, int] = {}
    for pair in told.split() if isinstance(told, str) else ():
        one, equals, many = pair.partition("=")
        if not (one and equals and many):
            lines = lines or folder.word_lines(NAME, "irregular")
            line = lines.get(pair, folder.toml_line(NAME, "irregular"))
            folder.fault(NAME, line, "bad-row", f"irregular: {pair!r} is not one=many")
        found |= {one: many, many: one}
    return found


def read_grammar(
    folder: Folder,
    rules: Mapping[str, Any],
    lexicon: Lexicon,
    categories: Sequence[str] | None,
    labels: set[str] | None,
) -> Grammar:
    """Return the grammar that `rules` (the tables of the file) describe; faults are noted in `folder`.

    categories, labels: of the ontology and its rows, None where a file that says them could not be read.
    """
    _check_top(folder, rules)
    if labels is None:  # every name may be one of those
        labels = named_labels(rules) - _table(rules, "groups").keys()
    words = _words(folder, rules, categories or ())
    rows = {table: list(_rows(folder, rules, table, categories)) for table in TABLES}
    looks = [
        Look(_pattern(folder, "look", row), _key(row, "label"), _key(row, "category")) for row in rows["look"]
    ]
    known = {*labels, *(categories or ()), *words.values(), *(look.label for look in looks), UNKNOWN}
    codes = _codes(folder, rules, known)
    texts = [_rule(row, _pattern(folder, "text", row)) for row in rows["text"]]
    table = [_rule(row, _shape(folder, row, codes)) for row in rows["rule"]]
    for kind, read in (("text", texts), ("rule", table)):
        _check_decisions(folder, kind, rows[kind], read)
    return Grammar(lexicon, words, looks, texts, table, codes)


def named_labels(rules: Mapping[str, Any]) -> set[str]:
    """Return every name that a shape or a group speaks of."""
    rows = rules.get("rule")
    shapes = (
        str(row.get("shape", "")) for row in (rows if isinstance(rows, list) else ()) if isinstance(row, dict)
    )
    groups = map(str, _table(rules, "groups").values())
    return {name for text in (*shapes, *groups) for name in re.findall(r"[a-z_]+", text)}


def _table(rules: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = rules.get(name)
    return table if isinstance(table, dict) else {}


def _check_top(folder: Folder, rules: Mapping[str, Any]) -> None:
    for key, value in rules.items():
        if key not in _TOP:
            what = f"{key!r} is not known here (known: {', '.join(_TOP)})"
            folder.fault(NAME, folder.toml_line(NAME, key), "unknown-key", what)
        elif not isinstance(value, _TOP[key]):
            what = f"{key!r} must be a {_TOP[key].__name__}"
            folder.fault(NAME, folder.toml_line(NAME, key), "wrong-type", what)
    for table in ("words", "groups"):
        for key, value in _table(rules, table).items():
            if not isinstance(value, str):
                what = f"{table}.{key} must be one string of words"
                folder.fault(NAME, folder.toml_line(NAME, table, key), "wrong-type", what)


def _words(folder: Folder, rules: Mapping[str, Any], categories: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for label, listed in _table(rules, "words").items():
        line = folder.toml_line(NAME, "words", label)
        if label in RESERVED or label in categories:
            meaning = "a meaning of its own in shapes" if label in RESERVED else "the name of a category"
            folder.fault(NAME, line, "bad-name", f"the list {label!r} has {meaning}; call it something else")
        for word in listed.split() if isinstance(listed, str) else ():
            if found.setdefault(word, label) != label:
                what = f"the word {word!r} is in the lists {found[word]!r} and {label!r}"
                folder.fault(NAME, line, "word-in-two-lists", what)
    return found


def _rows(
    folder: Folder, rules: Mapping[str, Any], table: str, categories: Sequence[str] | None
) -> Iterator[Row]:
    """Yield the rows of a table; one with a fault, too, for its pattern may have another."""
    must, may = TABLES[table]
    rows = rules.get(table)
    for at, row in enumerate(rows if isinstance(rows, list) else []):
        faults = list(_row_faults(row, must, may, categories))
        for key, code, what in faults:
            folder.fault(NAME, folder.toml_line(NAME, table, key, at), code, f"[[{table}]]: {what}")
        if isinstance(row, dict):
            strings = {key: value for key, value in row.items() if isinstance(value, str)}
            yield Row(at, strings, not faults)


def _row_faults(
    row: object, must: set[str], may: set[str], categories: Sequence[str] | None
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
        elif key == "category" and categories is not None and value not in categories:
            yield key, "no-category", f"{value!r} is no category"
        elif key == "label" and value in RESERVED:
            yield key, "bad-name", f"{value!r} has a meaning of its own in shapes"


def _key(row: Row, key: str) -> str:
    return row.keys.get(key, "")


def _rule(row: Row, pattern: re.Pattern[str]) -> Rule:
    return Rule(_key(row, "name"), pattern, _key(row, "category"))


def _codes(folder: Folder, rules: Mapping[str, Any], labels: set[str]) -> dict[str, str]:
    """Return what each name in a shape stands for: a label for a character, a group for its members' ones."""
    codes = {label: chr(0x4E00 + at) for at, label in enumerate(sorted(labels))}
    for group, members in _table(rules, "groups").items():
        line = folder.toml_line(NAME, "groups", group)
        if group in codes or group in RESERVED:
            folder.fault(NAME, line, "group-is-label", f"the group {group!r} has the name of a label")
        named = members.split() if isinstance(members, str) else []
        for member in named:
            if member not in codes:
                what = f"the group {group!r} names {member!r}, which is no label or group above it"
                folder.fault(NAME, line, "no-label", what)
        if isinstance(members, str) and not named:
            folder.fault(NAME, line, "group-empty", f"the group {group!r} names nothing")
        # A group with a fault stands for something all the same: shapes that speak of it have none for that.
        codes[group] = "".join(codes.get(member, "") for member in named) or codes[UNKNOWN]
    return codes


def _pattern(folder: Folder, table: str, row: Row) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings(action="error"):  # what Python only warns of will mean another thing
            return re.compile(row.keys["pattern"]) if "pattern" in row.keys else _NOTHING
    except (re.error, OverflowError, RecursionError, Warning) as error:
        line = folder.toml_line(NAME, table, "pattern", row.at)
        folder.fault(NAME, line, "bad-pattern", f"pattern: {error}")
        return _NOTHING


def _shape(folder: Folder, row: Row, codes: Mapping[str, str]) -> re.Pattern[str]:
    if "shape" not in row.keys:
        return _NOTHING
    try:
        pattern = compile_shape(row.keys["shape"], codes)
        if not (slow := why_slow(pattern.pattern)):
            return pattern
        code, what = "bad-pattern", f"shape: {slow}; it would take too long to read"
    except KeyError as error:
        code, what = "no-label", f"shape: {error} is no label or group"
    except (re.error, OverflowError, RecursionError) as error:
        code, what = "bad-pattern", f"shape: {error}"
    folder.fault(NAME, folder.toml_line(NAME, "rule", "shape", row.at), code, what)
    return _NOTHING


def _check_decisions(folder: Folder, table: str, rows: Sequence[Row], rules: Sequence[Rule]) -> None:
    """Note rules that cannot decide: a rule says a category, or names the part of the phrase that does."""
    for row, rule in zip(rows, rules, strict=True):
        part = "part" in rule.pattern.groupindex
        if row.is_sound and part == bool(rule.category) and rule.pattern != _NOTHING:
            has = (
                "both a category and a part that decides" if part else "neither a category nor a part in [ ]"
            )
            line = folder.toml_line(NAME, table, row=row.at)
            folder.fault(NAME, line, "rule-undecided", f"{rule.name!r} has {has}")
