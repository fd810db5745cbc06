"""The networks that sd-scripts trains, and how --network_args is read; open it for a module or an argument.

They are held as data: networks.toml, whose head names its sources.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LORA, DYLORA, OFT, LYCORIS = "networks.lora", "networks.dylora", "networks.oft", "lycoris.kohya"
WEIGHTS = ("down_lr_weight", "mid_lr_weight", "up_lr_weight")
"""The lists that weigh the U-Net's rate by blocks."""

_NUMBERS = {"int": int, "float": float, "ints": int, "floats": float, "weights": float, "middle": float}


@dataclass(frozen=True, slots=True)
class Argument:
    """A word of --network_args that a module reads; the fields are explained in networks.toml."""

    name: str
    type: str
    entries: int = 0
    needs: tuple[str, ...] = ()
    algos: tuple[str, ...] = ()
    instead: str = ""

    def fault(self, text: str, shapes: Sequence[str]) -> str:
        """What the module stops with where it reads this text, and why; empty where it does not.

        Of lists, their length is not looked at. `shapes`: the words that stand for a list of weights.
        """
        kind, _, empty = self.type.partition("-or-")
        if kind not in _NUMBERS or (empty and not text):
            return ""
        number = _NUMBERS[kind]
        if kind == "weights" and "," not in text:
            word, plus, offset = text.partition("+")
            if word not in shapes:
                return f"TypeError: {text!r} is neither a list nor one of {', '.join(shapes)}"
            return _unread(float, offset.partition("+")[0]) if plus else ""
        several = kind in ("ints", "floats", "weights", "middle")
        parts = text.split(",") if several else [text]
        if kind in ("weights", "middle"):  # nothing between two commas is 0 there
            parts = [part for part in parts if part]
        return next((why for part in parts if (why := _unread(number, part))), "")


def _unread(number: type[int] | type[float], text: str) -> str:
    try:
        number(text)
    except ValueError:
        return f"ValueError: {text!r} is no {'whole ' if number is int else ''}number"
    return ""


@dataclass(frozen=True, slots=True)
class Networks:
    """What networks.toml holds. `arguments`: by module, name; `presets`: whether they have convolutions."""

    sdxl: tuple[str, ...]
    other_models: tuple[str, ...]
    programs: tuple[str, ...]
    own: tuple[str, ...]
    shapes: tuple[str, ...]
    packages: Mapping[str, str]
    arguments: Mapping[str, Mapping[str, Argument]]
    algorithms: Mapping[str, str]
    presets: Mapping[str, bool]


@cache
def networks() -> Networks:
    """The networks of the version that tagflow knows, and of LyCORIS."""
    data = tomllib.loads(Path(__file__).with_name("networks.toml").read_text(encoding="utf-8"))
    lists = {name: tuple(data[name]) for name in ("sdxl", "other_models", "programs", "own", "shapes")}
    arguments = {
        module: {name: _argument(name, row) for name, row in rows.items()}
        for module, rows in data["arguments"].items()
    }
    return Networks(
        **lists,
        packages=data["packages"],
        arguments=arguments,
        algorithms=data["algorithms"],
        presets=data["presets"],
    )


def _argument(name: str, row: Mapping[str, Any]) -> Argument:
    lists = {key: tuple(row.get(key, ())) for key in ("needs", "algos")}
    return Argument(name, row["type"], row.get("entries", 0), **lists, instead=row.get("instead", ""))


def algorithm(given: Mapping[str, str]) -> str:
    """The algorithm of LyCORIS that its arguments choose, as it looks it up."""
    return (given.get("algo") or "lora").lower()


def is_true(text: str) -> bool:
    """How LyCORIS reads a flag: everything but `false`, in any case, is true; so is 0. Source: `str_bool`."""
    return text.lower() != "false"


def by_blocks(text: str, entries: int) -> list[float]:
    """The weights that a text of networks.lora, one without a fault, stands for; one for each block.

    A list that is too long is cut, one that is too short filled with 1. Source: `get_block_lr_weight`.
    """
    name, _, offset = text.partition("+")
    if name in networks().shapes:
        base, last = float(offset.partition("+")[0] or 0), entries - 1
        rising = [at / last for at in range(entries)]  # linear, and of reverse_linear backwards
        if name in ("sine", "cosine"):
            rising = [math.sin(math.pi * part / 2) for part in rising]
        weights = [base if name == "zeros" else part + base for part in rising]
        return weights[::-1] if name in ("cosine", "reverse_linear") else weights
    read = [float(part) if part else 0.0 for part in text.split(",")][:entries]
    return read + [1.0] * (entries - len(read))
