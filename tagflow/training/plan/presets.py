"""The presets of `train plan`: what each kind of run sets, and why. The values are in presets.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tagflow.errors import UsageProblem
from tagflow.findings.wording import nearest
from tagflow.training.sd_scripts.options import Value


@dataclass(frozen=True, slots=True)
class Wanted:
    """A value that a preset wants, and why."""

    value: Value
    reason: str


@dataclass(frozen=True, slots=True)
class Preset:
    """What a kind of run sets. `train`, `dataset`: values by name, for the file that holds them.

    `left_out`: what is not set on purpose, with the reason. `batch`: images for a step of the optimizer.
    """

    name: str
    title: str
    about: str
    batch: int
    train: Mapping[str, Wanted]
    dataset: Mapping[str, Wanted]
    left_out: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Repeats:
    """The rule by which repeats are chosen where nobody gives them."""

    images_per_epoch: int
    most: int
    reason: str


@cache
def presets() -> Mapping[str, Preset]:
    """Every preset by name, in the order of the data."""
    data = _data()
    shared = data["common"]
    return {
        name: Preset(
            name,
            row["title"],
            " ".join(row["about"].split()),
            row["batch"],
            _wanted(shared["train"], row["train"]),
            _wanted(shared["dataset"], row.get("dataset", {})),
            {**shared["left_out"], **row["left_out"]},
        )
        for name, row in data.items()
        if name not in ("repeats", "common")
    }


@cache
def repeats_rule() -> Repeats:
    """How repeats are chosen."""
    row = _data()["repeats"]
    return Repeats(row["images_per_epoch"], row["most"], " ".join(row["reason"].split()))


def preset(name: str) -> Preset:
    """One preset. Raises UsageProblem with the nearest names for one that does not exist."""
    found = presets().get(name)
    if found is None:
        there = f"there are {', '.join(presets())}"
        raise UsageProblem(f"{name!r} is no preset", f"{nearest(name, presets())} {there}".strip())
    return found


def _data() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))


def _wanted(*tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Wanted]:
    rows = {name: row for table in tables for name, row in table.items()}
    return {name: Wanted(row["value"], row["reason"]) for name, row in rows.items()}
