"""A configuration of SD 1.5 made into one of SDXL for `--config_file`; open it for how it is rewritten.

Tables, order and comments stay, every line says why it is as it is, and what was left out is named at the
top. Nothing is written here. What may be given is in source.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagflow import __version__
from tagflow.errors import TrainerError
from tagflow.files.read import read_toml
from tagflow.findings.finding import Finding, finding
from tagflow.training.migrate.rules import BATCH, NUMBERS, TABLES, Facts, OptionChange, additions, decide
from tagflow.training.migrate.source import Source, read, read_source
from tagflow.training.sd_scripts.dataset_config import misshapen
from tagflow.training.sd_scripts.options import flat

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def dataset_file(values: Mapping[str, Any], source: Path) -> Path | None:
    """The dataset's file: relative to the current folder, as for sd-scripts, or else to the other file."""
    named = values.get("dataset_config")
    if not isinstance(named, str) or not named:
        return None
    return next((path for path in (Path(named), source.parent / named) if path.is_file()), None)


def read_dataset(file: Path) -> TOMLDocument:
    """Read a dataset's file. Raises TrainerError, too, where it lacks the shape that sd-scripts asks for."""
    doc = read(file)
    for fault in misshapen(doc.unwrap()):
        raise TrainerError(f"{file}: {fault.detail}", "write it so, then migrate it")
    return doc


def facts_of(values: Mapping[str, Any], dataset: Mapping[str, Any], source: Path, *, sdxl: bool) -> Facts:
    """Gather what the rules need. `dataset`: what its file holds, or nothing; `sdxl`: it is SDXL's now."""
    general = _table(dataset.get("general"))
    each = [general | _table(one) for one in _tables(dataset.get("datasets"))]
    own = [_count(one["batch_size"]) for one in each if "batch_size" in one]
    rest = [_count(values.get(BATCH, 1))] if len(own) < len(each) or not each else []
    present = set(values) | set.intersection(*map(set, each)) if each else set(values)
    if _has_caption_files(values, each, source):
        present.add("caption_extension")
    buckets = [one.get("enable_bucket", values.get("enable_bucket")) for one in each or [{}]]
    return Facts(values, (*own, *rest), frozenset(present), all(buckets), sdxl)


def _has_caption_files(values: Mapping[str, Any], datasets: list[dict[str, Any]], source: Path) -> bool:
    """Whether captions end in `.caption`, sd-scripts' default: then that is what is meant."""
    subsets = [one for dataset in datasets for one in _tables(dataset.get("subsets"))]
    folders = [_table(one).get("image_dir") for one in subsets]
    root = values.get("train_data_dir")
    patterns = [(folder, "*.caption") for folder in folders] + [(root, "*/*.caption")]
    named = [(Path(folder), pattern) for folder, pattern in patterns if isinstance(folder, str) and folder]
    places = [(place, pattern) for one, pattern in named for place in (one, source.parent / one)]
    return any(next(place.glob(pattern), None) is not None for place, pattern in places if place.is_dir())


def sdxl_already(source: Path, dataset: Path | None, values: Mapping[str, Any]) -> str | None:
    """What says that it is one of SDXL, None for nothing: migrating twice would halve the batch twice."""
    found = [(source, values)]
    if dataset is not None:
        data = read_dataset(dataset).unwrap()
        found += [(dataset, _table(one)) for one in (data.get("general"), *_tables(data.get("datasets")))]
    for file, section in found:
        # `512`, `"512,768"` or `[512, 768]`; nothing is said of what is none of these
        sides = [side.strip() for side in str(section.get("resolution", "")).strip("[]").split(",")]
        known = 1 <= len(sides) <= 2 and all(side.isdecimal() for side in sides)
        if known and int(sides[0]) * int(sides[-1]) > 0.75 * NUMBERS["resolution"] ** 2:
            return f"{file}: its resolution is {section['resolution']}, so it is SDXL's already"
    return None


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _tables(value: Any) -> list[dict[str, Any]]:
    return [_table(one) for one in value] if isinstance(value, list) else []


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 1


SCRIPT = "sdxl_train_network.py"
_CODES = {"dropped": "migrate-dropped", "unknown": "migrate-unknown", "look": "migrate-look"}
_SHOWN = 80  # characters of a value in a comment


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the migration: in which file, which option, and its :class:`OptionChange`."""

    file: str
    option: str
    before: Any
    verdict: OptionChange


@dataclass(frozen=True, slots=True)
class Migration:
    """The new texts, and what was done. `dataset`: the old dataset file, None where none was migrated.

    `faults`: what was wrong in the command that it was read from.
    """

    source: Path
    text: str
    changes: tuple[Change, ...]
    dataset: Path | None = None
    dataset_text: str = ""
    faults: tuple[Finding, ...] = ()

    def left_over(self) -> list[Finding]:
        """What was left out, and what somebody has to look at."""
        said = [
            finding(_CODES[one.verdict.action], one.verdict.reason, file=one.file, option=one.option)
            for one in self.changes
            if one.verdict.action in _CODES
        ]
        return [*self.faults, *said]


def migrate(given: Path | Source, dataset_out: Path | None = None, base: str | None = None) -> Migration:
    """Migrate a file, or what was read of a command. `dataset_out`: where its dataset's file will be written;
    None: it is not migrated. `base`: the checkpoint of SDXL that is to be trained on.

    Raises TrainerError where a file cannot be read, or is one for --config_file and of SDXL already.
    """
    origin = given if isinstance(given, Source) else read_source(given)
    source, doc = origin.file, origin.doc
    values = flat(doc.unwrap())
    named = dataset_file(values, source)
    held = read_dataset(named).unwrap() if named is not None else {}
    why = sdxl_already(source, named, values)
    if why is not None and not origin.translated:
        raise TrainerError(why, "look it over instead: tagflow train check")
    dataset_out = dataset_out if why is None else None
    dataset_doc = read_dataset(named) if named is not None and dataset_out is not None else None
    facts = facts_of(values, held, source, sdxl=why is not None)
    changes = []
    for section in (doc, *(one for one in doc.values() if isinstance(one, dict))):
        options = [name for name in section if section is not doc or not isinstance(doc[name], dict)]
        for option in options:
            if option != "dataset_config" or facts.sdxl:
                verdict = decide(option, _plain(section[option]), facts)
                changes.append(_change(section, option, source.name, verdict))
    if values.get("dataset_config") and not facts.sdxl:
        changes.append(_point(doc, source.name, values["dataset_config"], named, dataset_out))
    changes += _add(doc, source.name, facts, base)
    dataset_text = ""
    if named is not None and dataset_doc is not None:
        found = list(_change_dataset(dataset_doc, named.name, facts))
        dataset_text = _written(dataset_doc, named, found)
        changes += found
    mine = [one for one in changes if one.file == source.name]
    migrated = named if dataset_doc is not None else None
    text = _written(doc, source, mine)
    return Migration(source, text, tuple(changes), migrated, dataset_text, origin.faults)


def _change_dataset(doc: TOMLDocument, file: str, facts: Facts) -> Iterator[Change]:
    """The dataset's file: its general table, its datasets and their subsets."""
    sections: list[Any] = [one for one in (doc.get("general"),) if isinstance(one, dict)]
    for dataset in doc.get("datasets") or ():
        sections += [dataset, *(dataset.get("subsets") or ())]
    for section in sections:
        for option in [name for name in section if name != "subsets"]:
            verdict = decide(option, _plain(section[option]), facts, dataset=True)
            yield _change(section, option, file, verdict)


def _change(section: Any, option: str, file: str, verdict: OptionChange) -> Change:
    """Carry out a verdict in its place, with its reason behind it."""
    before = _plain(section[option])
    if verdict.action in ("dropped", "unknown"):
        del section[option]
    else:
        if verdict.after != before or type(verdict.after) is not type(before):
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
        verdict = OptionChange("changed", str(out.absolute()), reasons["dataset_config"])
    else:
        why = "dataset_missing" if named is None else "dataset_stdout"
        verdict = OptionChange("look", before, reasons[why])
    holding = [one for one in (doc, *doc.values()) if isinstance(one, dict) and "dataset_config" in one]
    return [_change(section, "dataset_config", file, verdict) for section in holding][-1]


def _add(doc: TOMLDocument, file: str, facts: Facts, base: str | None) -> list[Change]:
    import tomlkit

    new = additions(facts)
    if base is not None:
        for section in (doc, *(one for one in doc.values() if isinstance(one, dict))):
            section.pop("pretrained_model_name_or_path", None)
        new["pretrained_model_name_or_path"] = OptionChange("added", base, TABLES["reason"]["base"])
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

    lines = [f"tagflow {__version__} made this of {_spoken(source.name)}, for SDXL: {SCRIPT}"]
    for one in changes:
        if one.verdict.action in ("dropped", "unknown"):
            plain = one.option.isidentifier() and one.option.isascii()
            name = one.option if plain else _spoken(one.option)
            lines.append(f"left out: {name} = {_spoken(one.before)}: {one.verdict.reason}")
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


def _plain(value: Any) -> Any:
    return value.unwrap() if hasattr(value, "unwrap") else value
