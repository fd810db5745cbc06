"""Rules about numbers and what they come to; open it for zeros, negatives, seeds, saving, GPUs.

What sd-scripts makes of 0 and -1 is data (counts.csv): each row was seen with its real training loop, and
tests/training/check/test_rules_runs.py holds it against that.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import STEPS, epochs, parts, places, processes, steps
from tagflow.training.check.registry import rule
from tagflow.training.sd_scripts.dataset_config import schema
from tagflow.training.sd_scripts.launch import settings
from tagflow.training.setup.setup import Setup

_SEEDS = 2**32  # numpy takes none from here on
_EVERY = ("save_every_n_epochs", "save_every_n_steps")
_OF_LAUNCHER = "config_file"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of counts.csv. `value`: `zero` or `negative`.

    Any of `needs` must be on, and `without` must not be given. `code`: what is found; `what`: what
    sd-scripts 0.10.1 does then.
    """

    option: str
    value: str
    needs: tuple[str, ...]
    without: str
    code: str
    what: str


@cache
def _rows() -> tuple[Row, ...]:
    text = Path(__file__).with_name("counts.csv").read_text(encoding="utf-8")
    return tuple(
        Row(option, value, tuple(needs.split("|")) if needs else (), without, code, what)
        for option, value, needs, without, code, what in list(csv.reader(text.splitlines()))[1:]
    )


_ROWS = _rows()
_NAMED = {name for row in _ROWS for name in (row.option, row.without, *row.needs)} - {""}


@rule("count-stops", "count-odd", reads=(*sorted(_NAMED), "dataset_config"))
def counts(setup: Setup) -> Iterator[Finding]:
    """Zeros and negatives, of the run's options and of what a dataset file says for a subset."""
    renamed = {key: name for name, key in schema()["options"].items()}
    of_file = setup.text("dataset_config")
    subsets = parts(setup)
    for row in _ROWS:
        if row.option not in schema()["types"]:
            holds = _holds(row, setup.values.get(row.option))
            needed = not row.needs or any(setup.any_subset(name) for name in row.needs)
            if holds and needed and (not row.without or setup.values.get(row.without) is None):
                yield _found(row, row.option, setup.values.get(row.option))
            continue
        option = row.option if of_file else renamed.get(row.option, row.option)
        there = [part for part in subsets if _holds(row, part.subset.values.get(row.option))]
        there = [part for part in there if not row.needs or any(part.on(name) for name in row.needs)]
        there = [part for part in there if not (row.without and part.on(row.without))]
        if there:
            yield _found(row, option, there[0].subset.values.get(row.option), places(there))


def _holds(row: Row, value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return value == 0 if row.value == "zero" else value < 0


def _found(row: Row, option: str, value: object, where: str = "") -> Finding:
    least = 1 if any(one.option == row.option and one.value == "zero" for one in _ROWS) else 0
    what = f"{option} {value}: {row.what}" + (f"; {where}" if where else "")
    return finding(row.code, what, option=option, cure=f"write {option} = {least}, or leave it out")


@rule("seed-range", reads=("seed",))
def seed_range(setup: Setup) -> Iterator[Finding]:
    seed = setup.values.get("seed")
    if isinstance(seed, int) and not 0 <= seed < _SEEDS:
        yield finding("seed-range", f"seed {seed}", option="seed")


@rule("save-beyond", reads=(*_EVERY, *STEPS))
def save_beyond(setup: Setup) -> Iterator[Finding]:
    """Saving after more epochs or steps than there are; the last epoch is saved in any case."""
    ends = {"save_every_n_epochs": epochs(setup), "save_every_n_steps": steps(setup)}
    beyond = {name: end for name, end in ends.items() if end and setup.number(name) > end}
    others = any(setup.number(name) > 0 and name not in beyond for name in _EVERY)
    for name, end in beyond.items():
        if not others and end > 1:
            yield finding("save-beyond", f"{name} {setup.number(name):g} of {end}", option=name)


@rule("processes-several", reads=("lr_warmup_steps", *STEPS))
def processes_several(setup: Setup) -> Iterator[Finding]:
    count, total, warmup = processes(setup), steps(setup), setup.number("lr_warmup_steps")
    if count < 2:
        return
    made = f"; {total} steps" if total else ""
    made += f"; {warmup:g} steps of warm-up are over after {warmup / count:g}" if warmup >= 1 else ""
    yield finding("processes-several", f"{count} processes{made}", option="num_processes")


@rule("launch-config-not-found", "launch-config-unusable")
def launch_config(setup: Setup) -> Iterator[Finding]:
    """accelerate's own file, named before the script."""
    named = setup.launch.config
    file = setup.folder / named
    if not named:
        return
    if not file.is_file():
        yield finding("launch-config-not-found", named, option=_OF_LAUNCHER)
    elif file.suffix == ".toml":
        yield finding("launch-config-unusable", f"{named} is for sd-scripts", option=_OF_LAUNCHER)
    elif "distributed_type" not in (said := settings(file) or {}) and "AMAZON" not in str(said):
        yield finding("launch-config-unusable", f"{named} names no distributed_type", option=_OF_LAUNCHER)
