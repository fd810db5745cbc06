"""A training of SD 1.5, a TOML file for sd-scripts' `--config_file`, made into one of SDXL.

The file keeps its tables, its order and its comments; every line says why it is as it is. What was left out
is named at the top. Nothing is written here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagflow import __version__
from tagflow.errors import TrainerError
from tagflow.toml import read_toml
from tagflow.training.migrate_rules import TABLES, Facts, Verdict, additions, decide
from tagflow.training.migrate_source import dataset_file, facts_of, flat, read, read_dataset, refuse_sdxl

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

SCRIPT = "sdxl_train_network.py"
_SHOWN = 80  # characters of a value in a comment


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the migration: in which file, which option, and its :class:`Verdict`."""

    file: str
    option: str
    before: Any
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Migration:
    """The new texts, and what was done. `dataset`: the old dataset file, None where none was migrated."""

    source: Path
    text: str
    changes: tuple[Change, ...]
    dataset: Path | None = None
    dataset_text: str = ""


def migrate(source: Path, dataset_out: Path | None = None) -> Migration:
    """Migrate a file. `dataset_out`: where its dataset's file will be written; None: it is not migrated.

    Raises TrainerError where a file cannot be read, is no TOML, or is SDXL's already.
    """
    doc = read(source)
    values = flat(doc.unwrap())
    named = dataset_file(values, source)
    dataset_doc = read_dataset(named) if named is not None and dataset_out is not None else None
    facts = facts_of(values, read_dataset(named).unwrap() if named is not None else {}, source)
    refuse_sdxl(source, named, values)
    changes = list(_change_train(doc, source.name, facts))
    if values.get("dataset_config"):
        changes.append(_point(doc, source.name, values["dataset_config"], named, dataset_out))
    changes += _add(doc, source.name, facts)
    dataset_text = ""
    if named is not None and dataset_doc is not None:
        found = list(_change_dataset(dataset_doc, named.name, facts))
        dataset_text = _written(dataset_doc, named, found)
        changes += found
    mine = [one for one in changes if one.file == source.name]
    migrated = named if dataset_doc is not None else None
    return Migration(source, _written(doc, source, mine), tuple(changes), migrated, dataset_text)


def _change_train(doc: TOMLDocument, file: str, facts: Facts) -> Iterator[Change]:
    for section in (doc, *(one for one in doc.values() if isinstance(one, dict))):
        options = [name for name in section if section is not doc or not isinstance(doc[name], dict)]
        for option in options:
            if option != "dataset_config":
                yield _change(section, option, file, decide(option, _plain(section[option]), facts))


def _change_dataset(doc: TOMLDocument, file: str, facts: Facts) -> Iterator[Change]:
    """The dataset's file: its general table, its datasets and their subsets."""
    sections: list[Any] = [one for one in (doc.get("general"),) if isinstance(one, dict)]
    for dataset in doc.get("datasets") or ():
        sections += [dataset, *(dataset.get("subsets") or ())]
    for section in sections:
        for option in [name for name in section if name != "subsets"]:
            verdict = decide(option, _plain(section[option]), facts, dataset=True)
            yield _change(section, option, file, verdict)


def _change(section: Any, option: str, file: str, verdict: Verdict) -> Change:
    """Carry out a verdict in its place, with its reason behind it."""
    before = _plain(section[option])
    if verdict.action in ("dropped", "unknown"):
        del section[option]
    else:
        if verdict.after != before:
            section[option] = verdict.after
        _say(section, option, ("look: " if verdict.action == "look" else "") + verdict.reason)
    return Change(file, option, before, verdict)


def _say(section: Any, option: str, reason: str) -> None:
    """Put a reason behind a value, and behind what the user wrote there. An inline table has no room."""
    from tomlkit.container import Container
    from tomlkit.items import Item, Table

    holder = section.value if isinstance(section, Table) else section
    item = holder.item(option) if isinstance(holder, Container) else None
    if isinstance(item, Item):
        old = item.trivia.comment.lstrip("# ")
        item.comment(f"{old}; {reason}" if old else reason)


def _point(doc: Any, file: str, before: Any, named: Path | None, out: Path | None) -> Change:
    """Point to the migrated dataset file, or say that it is not."""
    reasons = TABLES["reason"]
    if named is not None and out is not None:
        verdict = Verdict("changed", str(out.absolute()), reasons["dataset_config"])
    else:
        why = "dataset_missing" if named is None else "dataset_stdout"
        verdict = Verdict("look", before, reasons[why])
    holding = [one for one in (doc, *doc.values()) if isinstance(one, dict) and "dataset_config" in one]
    return [_change(section, "dataset_config", file, verdict) for section in holding][-1]


def _add(doc: TOMLDocument, file: str, facts: Facts) -> list[Change]:
    import tomlkit

    new = additions(facts)
    if not new:
        return []
    table = tomlkit.table()
    for option, verdict in new.items():
        table[option] = verdict.after
        _say(table, option, verdict.reason)
    name = next(name for at in range(len(doc) + 1) if (name := f"sdxl{at or ''}") not in doc)
    doc[name] = table
    return [Change(file, option, None, verdict) for option, verdict in new.items()]


def _written(doc: TOMLDocument, source: Path, changes: list[Change]) -> str:
    """The text, headed by what was left out; it is read once more, to be sure."""
    import tomlkit

    lines = [f"tagflow {__version__} made this of {_spoken(source.name)}, from SD 1.5 to SDXL: {SCRIPT}"]
    for one in changes:
        if one.verdict.action in ("dropped", "unknown"):
            lines.append(f"left out: {_name(one.option)} = {_spoken(one.before)}: {one.verdict.reason}")
    text = "".join(f"# {line}\n" for line in lines) + "\n" + tomlkit.dumps(doc)
    try:
        read_toml(text)
    except ValueError as problem:
        raise TrainerError(
            f"{source}: its layout is not understood ({problem})", "write a plainer TOML"
        ) from problem
    return text


def _spoken(value: Any) -> str:
    """A value on one line of a comment, without what a comment may not hold."""
    text = json.dumps(value, default=str).replace("\x7f", "?")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _name(option: str) -> str:
    return option if option.isidentifier() and option.isascii() else _spoken(option)


def _plain(value: Any) -> Any:
    return value.unwrap() if hasattr(value, "unwrap") else value
