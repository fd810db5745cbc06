"""sd-scripts' dataset TOML; open it for which key may stand where, and whose value holds for a subset.

The schema is data (dataset-config.json); source: sd-scripts `library/config_util.py`, ConfigSanitizer and
BlueprintGenerator. There every key is checked: one that is unknown or of another type stops the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import misspelt
from tagflow.training.sd_scripts.options import Value


@dataclass(frozen=True, slots=True)
class Subset:
    """One folder of images, with every value that holds for it.

    `values`: subset over dataset over general over command line over default, under the dataset file's
    names. `given`: those of them that somebody set. `where`: what to call it in a message, such as
    `dataset.toml: datasets[0].subsets[1]`. `folder`: absolute; None where none is named.
    """

    where: str
    folder: Path | None
    values: Mapping[str, Value]
    given: frozenset[str]
    kind: str = "dreambooth"


TABLES = ("general", "datasets")
_TESTS: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (float,), "any(float, int)": (float, int), "bool": (bool,),
    "dict": (dict,),
}  # fmt: skip
_SPOKEN = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number with a point, such as 1.0",
    "any(float, int)": "a number",
    "bool": "true or false",
    "dict": "a table",
    "twodim(float)": "two numbers with points, such as [1.0, 1.5]",
    "scalar_or_twodim(int)": "a whole number, or two: [width, height]",
}


@cache
def schema() -> dict[str, Any]:
    """The keys by section and kind of dataset, their types, and the defaults."""
    data: dict[str, Any] = json.loads(
        Path(__file__).with_name("dataset-config.json").read_text(encoding="utf-8")
    )
    return data


def kind_of(dataset: Mapping[str, Any], *, masked_loss: bool) -> str | None:
    """`dreambooth`, `fine tuning` or `controlnet`; None where subsets of two kinds are mixed."""
    subsets = [one for _, one in _numbered(dataset.get("subsets", []))]
    if masked_loss and all("conditioning_data_dir" in one for one in subsets):
        return "controlnet"
    described = ["metadata_file" in one for one in subsets]
    if all(described):
        return "fine tuning"
    return None if any(described) else "dreambooth"


def faults(doc: Mapping[str, Any], *, masked_loss: bool = False) -> list[Finding]:
    """Everything in a parsed dataset file that sd-scripts refuses. `masked_loss`: that option is set."""
    return list(_faults(doc, masked_loss))


def _faults(doc: Mapping[str, Any], masked_loss: bool) -> Iterator[Finding]:
    for name in doc:
        if name not in TABLES:
            known = [*TABLES, *schema()["types"]]
            yield finding("dataset-key-unknown", f"at the top: {misspelt(name, known)}", option=name)
    yield from misshapen(doc)
    if isinstance(general := doc.get("general", {}), dict):
        yield from _section(general, "[general]", schema()["general"])
    for at, dataset in _numbered(doc.get("datasets", [])):
        yield from _dataset(dataset, f"datasets[{at}]", kind_of(dataset, masked_loss=masked_loss))


def misshapen(doc: Mapping[str, Any]) -> Iterator[Finding]:
    """What is no table, or no array of tables, where sd-scripts asks for one."""
    if not isinstance(doc.get("general", {}), dict):
        yield finding("dataset-value", "general must be a table: [general]", option="general")
    datasets = doc.get("datasets", [])
    yield from _no_array(datasets, "datasets", "[[datasets]]")
    for at, dataset in _numbered(datasets):
        yield from _no_array(dataset.get("subsets", []), f"datasets[{at}].subsets", "[[datasets.subsets]]")


def _dataset(dataset: Mapping[str, Any], where: str, kind: str | None) -> Iterator[Finding]:
    if kind is None:
        yield finding("dataset-kind-mixed", f"{where}: some subsets have metadata_file and some have not")
        return
    own = {name: value for name, value in dataset.items() if name != "subsets"}
    yield from _section(own, where, schema()["datasets"][kind])
    for at, subset in _numbered(dataset.get("subsets", [])):
        place = f"{where}.subsets[{at}]"
        yield from _section(subset, place, schema()["subsets"][kind])
        for name in schema()["required"][kind]:
            if name not in subset:
                yield finding("dataset-value", f"{place} lacks {name}", option=name)


def _no_array(value: object, where: str, header: str) -> Iterator[Finding]:
    """What is no array of tables. A table in single brackets is none to sd-scripts, either."""
    option = where.rpartition(".")[2]
    if not isinstance(value, list):
        is_one = "is one table" if isinstance(value, dict) else f"is {value!r}"
        yield finding(
            "dataset-value", f"{where} {is_one}; it must be an array of tables: {header}", option=option
        )
        return
    for at, one in enumerate(value):
        if not isinstance(one, dict):
            yield finding(
                "dataset-value", f"{where}[{at}] is {one!r}; it must be a table: {header}", option=option
            )


def _numbered(value: object) -> Iterator[tuple[int, dict[str, Any]]]:
    """The tables of an array, each with its place in it; a table by itself counts as the first."""
    for at, one in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(one, dict):
            yield at, one


def _section(section: Mapping[str, Any], where: str, known: list[str]) -> Iterator[Finding]:
    for name, value in section.items():
        if name not in known:
            yield finding("dataset-key-unknown", f"{where}: {misspelt(name, known)}", option=name)
        elif not _fits(value, schema()["types"][name]):
            wanted = _SPOKEN[schema()["types"][name]]
            yield finding("dataset-value", f"{where}: {name} is {value!r}; it takes {wanted}", option=name)


def _fits(value: object, wanted: str) -> bool:
    if wanted == "scalar_or_twodim(int)":
        return isinstance(value, int) or _pair(value, int)
    if wanted == "twodim(float)":
        return _pair(value, float)
    return isinstance(value, _TESTS[wanted])


def _pair(value: object, of: type) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(one, of) for one in value)


def subsets(
    doc: Mapping[str, Any],
    options: Mapping[str, Value],
    given: Mapping[str, str],
    folder: Path,
    name: str,
) -> tuple[Subset, ...]:
    """Every subset with the values that hold for it: from subset, dataset, general, option, default.

    `doc` must have no faults. `options`: the run's, `given`: those of them that somebody set. `folder`: what
    relative paths are relative to. `name`: what to call the file in messages.
    """
    renamed = schema()["options"]
    from_options = {renamed.get(key, key): value for key, value in options.items() if value is not None}
    set_there = {renamed.get(key, key) for key in given}
    general = doc.get("general", {})
    return tuple(
        _subset(
            [subset, dataset, general],
            from_options,
            set_there,
            folder,
            f"{name}: datasets[{at}].subsets[{number}]",
            kind_of(dataset, masked_loss=bool(options.get("masked_loss"))) or "dreambooth",
        )
        for at, dataset in enumerate(doc.get("datasets", []))
        for number, subset in enumerate(dataset.get("subsets", []))
    )


def _subset(
    sections: list[Mapping[str, Any]],
    options: Mapping[str, Any],
    set_there: set[str],
    folder: Path,
    where: str,
    kind: str,
) -> Subset:
    values: dict[str, Value] = dict(schema()["defaults"][kind])
    values |= {name: value for name, value in options.items() if name in values}
    for section in reversed(sections):
        values |= {name: value for name, value in section.items() if name != "subsets"}
    spelled = {name for section in sections for name in section} | (set_there & values.keys())
    extension = values.get("caption_extension")
    if isinstance(extension, str) and extension and not extension.startswith("."):
        values["caption_extension"] = "." + extension  # as sd-scripts mends it
    place = values.get("image_dir")
    return Subset(
        where,
        folder / place if isinstance(place, str) else None,
        values,
        frozenset(spelled - {"subsets"}),
        kind,
    )
