"""sd-scripts' own options; open it for a default, or how a type, a choice or a number is checked.

They are held as data (options.json: `sdxl_train_network.py` of version 0.10.1, read from the real parser). A
user's own version can be asked instead, see :mod:`tagflow.training.machine.probe`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

Value = bool | int | float | str | list[str] | list[float] | None


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `type`: bool (a flag), int, float, str, path, or int_or_float (see :func:`steps`).

    `many`: takes any number of values. `choices`: the only words it takes; empty for any.
    """

    name: str
    type: str
    many: bool = False
    choices: tuple[Any, ...] = ()
    default: Value = None

    def fault(self, value: object) -> str | None:
        """Why sd-scripts could not use this value from a TOML file; None where it can.

        sd-scripts checks neither type nor choice there, so a wrong one is met late, or never.
        """
        if self.many:
            if not isinstance(value, list):
                return f"must be a list of {self.type}"
            return next((why for one in value if (why := self._one(one))), None)
        return self._one(value)

    def _one(self, value: object) -> str | None:
        if self.choices and value not in self.choices:
            return f"is {value!r}; it takes {', '.join(map(str, self.choices))}"
        kinds: dict[str, tuple[type, ...]] = {
            "bool": (bool,), "int": (int,), "float": (int, float), "int_or_float": (int, float),
        }  # fmt: skip
        right = kinds.get(self.type, (str,))
        if self.type == "bool" and isinstance(value, int | float) and value in (0, 1):
            return None  # nobody asks a flag for more than whether it holds
        if not isinstance(value, right) or (isinstance(value, bool) and self.type != "bool"):
            return f"is {value!r}; it takes {_SPOKEN.get(self.type, self.type)}"
        return None


_SPOKEN = {
    "bool": "true or false", "int": "a whole number", "float": "a number", "str": "a text", "path": "a path",
    "int_or_float": "a number of steps, or a fraction below 1",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """Every option of one script, by name."""

    script: str
    version: str
    by_name: Mapping[str, Option]

    def defaults(self) -> dict[str, Value]:
        """Every option's value where nobody gives one."""
        return {name: option.default for name, option in self.by_name.items()}


def parse_options(text: str) -> Options:
    """Read the JSON form. Raises ValueError, KeyError or TypeError where it is none."""
    data = json.loads(text)
    options = [
        Option(**{**row, "choices": tuple(row.get("choices", ()))}) for row in data["options"]
    ]  # fmt: skip
    return Options(data["script"], data["version"], {option.name: option for option in options})


def flat(doc: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a file for `--config_file`: the names of tables in it mean nothing, a later value wins.

    Source: sd-scripts `library/train_util.py`, `read_config_from_file`.
    """
    values: dict[str, Any] = {}
    for name, value in doc.items():
        values |= value if isinstance(value, dict) else {name: value}
    return values


@cache
def known_options() -> Options:
    """The options of the version that tagflow knows."""
    return parse_options(Path(__file__).with_name("options.json").read_text(encoding="utf-8"))


def steps(text: str) -> int | float:
    """A number of steps as sd-scripts reads it: `10%` and `0.1` are fractions, from 1 on whole numbers only.

    Raises ValueError for anything else. Source: sd-scripts `library/train_util.py`, `int_or_float`.
    """
    if text.endswith("%"):
        try:
            return float(text[:-1]) / 100
        except ValueError:
            raise ValueError(f"{text!r} is no percentage") from None
    try:
        value = float(text)
        return int(text) if value >= 1 else value
    except ValueError:
        raise ValueError(f"{text!r} is neither a whole number of steps nor a fraction below 1") from None
