"""One line of a diagnosis, and what a run needs, which decides how bad a line is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tagflow.findings.catalogue import Severity, kind_of
from tagflow.training.run_folder import PlanFile
from tagflow.training.sd_scripts.optimizers import is_bitsandbytes, optimizer_of
from tagflow.training.sd_scripts.options import Value

State = Literal["ok", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Line:
    """What was looked at, how it stands, what was seen, and what cures it. `code`: None for `ok`."""

    check: str
    state: State
    seen: str
    code: str | None = None
    cure: str = ""

    @property
    def explanation(self) -> str:
        """Why it matters; empty for `ok`."""
        return kind_of(self.code).explanation if self.code else ""


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
    return Line(check, "ok", seen)


def bad(check: str, code: str, seen: str, *, severity: Severity | None = None, cure: str = "") -> Line:
    """A line with something to mend, as the catalogue has it unless it is told otherwise."""
    kind = kind_of(code)
    return Line(check, severity or kind.severity, seen, code, cure or kind.cure)
