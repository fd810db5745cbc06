"""What is wrong or idle in an ontology though it loads.

Loading refuses what cannot be used. Here is noted what can be used and was hardly meant: a rule that those
above it leave nothing to, an alias that mends nothing, a row that repeats another (see `rows`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tagflow.ontology.classifier import Ontology, find
from tagflow.ontology.files import ABOUT, Definition, read_folder
from tagflow.ontology.folder import Fault, Folder
from tagflow.ontology.grammar import Grammar, Rule
from tagflow.ontology.reach import Reach, reach
from tagflow.ontology.rows import check_overlay, check_rows
from tagflow.ontology.rules import NAME, named_labels
from tagflow.ontology.words import LONGEST_TERM, cut_words, normalise, other_forms

ALIASES = "aliases.csv"


def lint(source: str | Path, overlay: Path | None = None) -> list[Fault]:
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
    _check_patterns(folder, rules)
    _check_names(folder, rules)
    _check_aliases(folder, definition)
    check_rows(folder, definition)
    if overlay:
        check_overlay(Folder(overlay.parent, folder.faults), overlay.name, definition, plain)
    return sorted(folder.faults)


def _check_files(folder: Folder, categories: Sequence[str]) -> None:
    """Note data files that nothing reads: they would change the hash and nothing else."""
    known = {ABOUT, NAME, ALIASES, "seeds.csv", *(f"lexicon/{category}.csv" for category in categories)}
    for path in folder.root.rglob("*"):
        name = path.relative_to(folder.root).as_posix()
        if path.suffix in (".csv", ".toml") and name not in known:
            what = "no category has this name" if name.startswith("lexicon/") else "is no file of an ontology"
            folder.fault(name, 1, "file-stray", f"{what}, so only the hash sees it; move or rename it")


def _check_table(folder: Folder, grammar: Grammar) -> None:
    """Note the rules of the table that no phrase gets to."""
    letters = [code for code in grammar.codes.values() if len(code) == 1]
    for at, found in enumerate(reach(grammar.rules, "".join(dict.fromkeys(letters)))):
        name, line = grammar.rules[at].name, folder.toml_line(NAME, "rule", row=at)
        if found.state == "unreachable":
            what = (
                f"no phrase gets to {name!r}: {_above(folder, grammar.rules, found)}; move it up or delete it"
            )
            folder.fault(NAME, line, "rule-unreachable", what)
        elif found.state == "undecided":
            what = f"whether a phrase gets to {name!r} could not be found out; write a simpler shape"
            folder.fault(NAME, line, "reach-undecided", what)


def _above(folder: Folder, rules: Sequence[Rule], found: Reach) -> str:
    """Say which rules leave nothing to one below them."""
    named = [f"{rules[at].name!r} (line {folder.toml_line(NAME, 'rule', row=at)})" for at in found.above]
    return f"{', '.join(named)} {'leaves' if len(named) == 1 else 'together leave'} it nothing"


def _check_patterns(folder: Folder, rules: Mapping[str, Any]) -> None:
    """Note texts and looks that repeat a pattern: the first one always decides."""
    for table in ("text", "look"):
        seen: dict[str, int] = {}
        for at, row in enumerate(rules.get(table, [])):
            if (first := seen.setdefault(row["pattern"], at)) != at:
                line, above = (folder.toml_line(NAME, table, row=one) for one in (at, first))
                what = f"[[{table}]]: line {above} has the same pattern and decides; delete one"
                folder.fault(NAME, line, "rule-unreachable", what)


def _check_names(folder: Folder, rules: Mapping[str, Any]) -> None:
    """Note groups and word lists of which no shape speaks."""
    spoken = named_labels(rules)
    for table, code in (("groups", "group-unused"), ("words", "words-unused")):
        for name in rules.get(table, {}):
            if name not in spoken:
                what = f"no shape and no group speaks of {name!r}; delete it, or name it where it was meant"
                folder.fault(NAME, folder.toml_line(NAME, table, name), code, f"[{table}]: {what}")


def _check_aliases(folder: Folder, definition: Definition) -> None:
    """Note aliases that lead to an alias, that no tag can be written as, or that lead to no known word."""
    if not folder.has(ALIASES):
        return
    rows = list(folder.rows(ALIASES, ["alias", "term"]))
    aliases = {alias: term for _, (alias, term) in rows}
    words = _words(definition)
    for line, (alias, term) in rows:
        if again := next((word for word in term.split() if word in aliases), ""):
            what = f"{alias!r} leads to {term!r}, where {again!r} is an alias; write {aliases[again]!r}"
            folder.fault(ALIASES, line, "alias-loop", what)
        elif strange := _why_not_met(alias, aliases):
            folder.fault(ALIASES, line, "alias-unused", f"no tag is read as {alias!r}{strange}")
        elif not _is_known(term, definition, words):
            what = f"{alias!r} leads to {term!r}, which nothing knows; add its row or delete the alias"
            folder.fault(ALIASES, line, "alias-unused", what)


def _why_not_met(alias: str, aliases: Mapping[str, str]) -> str:
    """Say why no tag can be written as an alias, and the cure; empty where one can."""
    words = cut_words(normalise(alias))
    if " ".join(words) != alias or not words:
        return f"; write it {' '.join(words)!r}" if words else ", which holds no word; delete it"
    if len(words) > LONGEST_TERM:
        return f", which has more than {LONGEST_TERM} words; write a shorter one"
    if len(words) > 1 and (again := next((word for word in words if word in aliases), "")):
        return f", for {again!r} is an alias and is mended first; write {aliases[again]!r} for it"
    return ""


def _words(definition: Definition) -> set[str]:
    """Return every word of the rows, the seeds and the user's own tags."""
    terms = [*(entry.term for entry in definition.entries), *definition.seeds, *definition.own]
    return {word for term in terms for word in cut_words(term)}


def _is_known(term: str, definition: Definition, words: set[str]) -> bool:
    """Say whether what an alias leads to is anywhere: a term, or words of rows, lists and looks."""
    if not term or not definition.grammar.has_strange_word(term):
        return bool(term)
    return all({word, *other_forms(word, definition.irregular)} & words for word in term.split())
