"""What each class of optimizers and schedulers takes; open it to look an argument up, or who else has it.

classes.json is made by tests/training/make_classes.py of the real classes, in the versions that sd-scripts
requires; arguments that only newer versions have are in it, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

Part = Literal["optimizers", "schedulers"]


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a class.

    `kind`: flag, number, numbers, text or any; `count`: of numbers, how many. `default`: as Python writes it,
    empty for none. `within`: the interval, such as `[0,1)`, outside of which the class raises ValueError; of
    numbers one for all, or for each with blanks between; `-` and empty for none. `stops`: the odd values of
    which training dies: tuple, text, none; for numbers number, short, long, text, none.
    """

    name: str
    kind: str
    count: int
    default: str
    within: str
    stops: frozenset[str]


@dataclass(frozen=True, slots=True)
class Class:
    """What a class takes beside `params` and `lr`, or a scheduler's beside the optimizer.

    `rest`: any other argument, too, which it passes over. `one_rate`: it raises at its first steps where
    groups have different rates other than 0. `rate`: the interval of `lr`. `fails`: the exception with which
    it cannot be used as sd-scripts makes it.
    """

    path: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    rest: bool = False
    one_rate: bool = False
    rate: str = ""
    fails: str = ""

    @property
    def name(self) -> str:
        """Its name without the modules."""
        return self.path.rpartition(".")[2]

    @property
    def required(self) -> list[Argument]:
        """The arguments without a default."""
        return [one for one in self.arguments.values() if not one.default]


@cache
def _rows() -> Mapping[str, Any]:
    return dict(json.loads(Path(__file__).with_name("classes.json").read_text(encoding="utf-8")))


@cache
def _paths(part: Part) -> Mapping[tuple[str, str], str]:
    """Each path by its package and its last name: a class may be named by any module on the way."""
    return {(path.partition(".")[0], path.rpartition(".")[2]): path for path in _rows()[part]}


@cache
def class_of(path: str, part: Part) -> Class | None:
    """The class with this full name; None where the table has none."""
    package, name = path.partition(".")[0], path.rpartition(".")[2]
    found = _paths(part).get((package, name))
    if found is None:
        return None
    row = _rows()[part][found]
    arguments = {
        one: Argument(one, kind.rstrip("0123456789"), int(kind[7:] or 1) if kind.startswith("numbers") else 1,
                      default, within, frozenset(stops.split()))
        for one, (kind, default, within, stops) in row["arguments"].items()
    }  # fmt: skip
    return Class(
        found, arguments, row.get("rest", False), row.get("one_rate", False), row.get("rate", ""),
        row.get("fails", ""),
    )  # fmt: skip


def names_in(package: str, part: Part) -> list[str]:
    """The names of the classes that a package is known to have, such as `torch` or `pytorch_optimizer`."""
    return [name for (of, name) in _paths(part) if of == package]


def known_paths(part: Part) -> list[str]:
    """The full names of all that the table has."""
    return list(_rows()[part])


def outside(value: float, interval: str) -> bool:
    """Whether a number lies outside of an interval such as `[0,1)` or `(0,inf)`; empty and `-` hold all."""
    if not interval or interval == "-":
        return False
    low, high = (float(one) for one in interval[1:-1].split(","))
    below = value < low or (value == low and interval[0] == "(")
    return below or value > high or (value == high and interval[-1] == ")")
