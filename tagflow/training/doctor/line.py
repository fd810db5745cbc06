"""A line of the doctor's report, and what a run asks of a machine; open it for what makes it need a GPU.

How bad a lack is hangs on what the run uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tagflow.findings.catalogue import Severity
from tagflow.findings.finding import Finding, finding
from tagflow.training.run_folder import PlanFile
from tagflow.training.sd_scripts.optimizers import is_bitsandbytes, optimizer_of
from tagflow.training.sd_scripts.options import Value

State = Literal["ok", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Line:
    """What was looked at, what was seen, and what was found there; None where all is well."""

    check: str
    seen: str
    found: Finding | None = None

    @property
    def state(self) -> State:
        """How it stands."""
        return "ok" if self.found is None else self.found.severity

    @property
    def code(self) -> str | None:
        """The finding's code; None for `ok`."""
        return None if self.found is None else self.found.code


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run asks of its machine: its folder, its options' values, its plan.json. Empty for no run."""

    run: Path | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    plan: PlanFile = field(default_factory=PlanFile)

    def on(self, name: str) -> bool:
        """Whether an option is set."""
        return bool(self.values.get(name))

    def text(self, name: str) -> str:
        """An option's text; empty where it has none."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    @property
    def optimizer(self) -> str:
        """The optimizer in lower case, as sd-scripts compares it."""
        return optimizer_of(self.values)

    @property
    def bitsandbytes(self) -> bool:
        """Whether the optimizer is one of bitsandbytes'."""
        return is_bitsandbytes(self.optimizer)

    @property
    def gpu(self) -> str:
        """What of this run works on a GPU only; empty for nothing."""
        asked = [name for name in ("fp8_base", "fp8_base_unet", "xformers", "full_fp16") if self.on(name)]
        asked += ["mixed_precision fp16"] if self.text("mixed_precision") == "fp16" else []
        asked += [self.text("optimizer_type") or self.optimizer] if self.bitsandbytes else []
        return ", ".join(asked)


def ok(check: str, seen: str) -> Line:
    """A line without anything to mend."""
    return Line(check, seen)


def bad(check: str, code: str, seen: str, *, severity: Severity | None = None, cure: str = "") -> Line:
    """A line with something to mend, as the catalogue has it unless it is told otherwise."""
    found = finding(code, f"{check}: {seen}", severity=severity, cure=cure, figures={"check": check})
    return Line(check, seen, found)
