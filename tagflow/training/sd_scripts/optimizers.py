"""The optimizers that sd-scripts takes: class, own names, packages; open it when a new one appears.

The lists are in optimizers.toml. Source: sd-scripts 0.10.1, `library/train_util.py`, `get_optimizer`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tagflow.training.sd_scripts.classes import Class, class_of, known_paths
from tagflow.training.sd_scripts.options import Value


@cache
def facts() -> Mapping[str, Mapping[str, Any]]:
    """The tables of optimizers.toml."""
    return tomllib.loads(Path(__file__).with_name("optimizers.toml").read_text(encoding="utf-8"))


@cache
def own_names() -> Mapping[str, str]:
    """sd-scripts' own names, by their lower case, in which it compares them."""
    return {name.lower(): name for name in facts()["names"]}


@cache
def torch_names() -> tuple[str, ...]:
    """The classes of torch.optim that take a LoRA, exactly so: sd-scripts looks there for other names."""
    found = (path.rpartition(".") for path in known_paths("optimizers"))
    barred = facts()["unusable"]
    return tuple(name for of, _, name in found if of == "torch.optim" and f"{of}.{name}" not in barred)


def optimizer_of(values: Mapping[str, Value]) -> str:
    """The optimizer that the values of options choose, in lower case."""
    return named_optimizer(values).lower()


def named_optimizer(values: Mapping[str, Value]) -> str:
    """The optimizer that the values of options choose, as they write it."""
    if values.get("use_8bit_adam"):
        return "AdamW8bit"
    if values.get("use_lion_optimizer"):
        return "Lion"
    return str(values.get("optimizer_type") or "AdamW")


def optimizer_path(named: str) -> str:
    """The full name of the class that sd-scripts makes for an optimizer as it is written."""
    own = own_names().get(named.lower())
    if own is not None:
        return str(facts()["names"][own])
    return named if "." in named else f"torch.optim.{named}"


def optimizer_class(named: str) -> Class | None:
    """What the class of an optimizer takes; None where nobody knows it."""
    return class_of(optimizer_path(named), "optimizers")


def finds_its_rate(named: str) -> bool:
    """Whether an optimizer estimates its learning rate itself, so that 1 is the rate to give.

    Those that do take the estimate's start as `d0`.
    """
    known, name = optimizer_class(named), named.lower().rpartition(".")[2]
    return "d0" in known.arguments if known else name.startswith(("dadapt", "prodigy"))


def is_bitsandbytes(optimizer: str) -> bool:
    """Whether an optimizer, in any case, comes from bitsandbytes, which needs a GPU."""
    name = optimizer.lower()
    return optimizer_path(name).partition(".")[0] == "bitsandbytes" or name.endswith("8bit")


def packages_of(optimizer: str) -> list[str]:
    """The packages (distribution names) that an optimizer, in any case, needs beside what every run needs."""
    name = optimizer.lower()
    if is_bitsandbytes(name):
        return ["bitsandbytes"]
    module = optimizer_path(name).partition(".")[0]
    package = facts()["packages"].get(module, module.replace("_", "-"))
    found = [package] if package else []
    if name.startswith("dadapt") and "dadaptation" not in found:
        found.append("dadaptation")  # it is imported before the name is looked at
    if name.endswith("schedulefree") and "schedulefree" not in found:
        found.append("schedulefree")  # likewise, whatever package the class comes from
    return found
