"""The schedulers that sd-scripts takes and what it hands over to them; open it when a new one appears.

The list is schedulers.toml. Source: sd-scripts 0.10.1, `library/train_util.py`, `get_scheduler_fix`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tagflow.training.sd_scripts.optimizers import named_optimizer, optimizer_path
from tagflow.training.sd_scripts.options import Value


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A scheduler by its name. `function`: full name; empty for one that sd-scripts names but cannot use.

    `passed`: the arguments that sd-scripts gives. `reads`: the options that they come from, beside
    lr_warmup_steps.
    """

    function: str = ""
    passed: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()


@cache
def schedulers() -> Mapping[str, Scheduler]:
    """Every scheduler that `lr_scheduler` names."""
    rows = tomllib.loads(Path(__file__).with_name("schedulers.toml").read_text(encoding="utf-8"))
    return {
        name: Scheduler(row.get("function", ""), tuple(row.get("passed", ())), tuple(row.get("reads", ())))
        for name, row in rows.items()
    }


def scheduler_path(lr_scheduler_type: str) -> str:
    """The full name of the class that `lr_scheduler_type` chooses."""
    return lr_scheduler_type if "." in lr_scheduler_type else f"torch.optim.lr_scheduler.{lr_scheduler_type}"


def classes_of(values: Mapping[str, Value]) -> list[str]:
    """The full names of the classes and functions that a run's optimizer and scheduler are made of."""
    kind, name = values.get("lr_scheduler_type"), str(values.get("lr_scheduler") or "")
    function = scheduler_path(str(kind)) if kind else schedulers().get(name, Scheduler()).function
    return [optimizer_path(named_optimizer(values)), *([function] if function else [])]
