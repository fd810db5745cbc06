"""What a plan has to tell: a fault that stands against it, a warning, or something worth knowing."""

from __future__ import annotations

from dataclasses import dataclass

from tagflow.findings.finding import Severity


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to tell. With an `error` the plan is not written; `code` is stable."""

    code: str
    severity: Severity
    text: str
    cure: str = ""
