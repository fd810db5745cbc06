"""The catalogue of what can be wrong with a training run: code, severity, what it means and what cures it.

Its text is data, in findings/rules.toml and findings/gate.toml; the conditions are in training/check and
training/start/gate.py. `error`: the trainer would stop, or train what nobody meant. `warning`: it may.
`info`: worth knowing.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagflow.findings.finding import Kind, Severity


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a training run: its kind's code, what exactly was seen, and the option it is about."""

    code: str
    detail: str = ""
    option: str = ""

    @property
    def kind(self) -> Kind:
        """What the catalogue says of it."""
        return RULES[self.code]

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.kind.severity


def _read() -> dict[str, Kind]:
    rows: dict[str, dict[str, Any]] = {}
    for name in ("rules.toml", "gate.toml"):
        rows |= tomllib.loads((Path(__file__).parent.parent / "findings" / name).read_text(encoding="utf-8"))
    flat: dict[str, dict[str, Any]] = {
        code: {name: " ".join(row[name].split()) for name in row} for code, row in rows.items()
    }
    return {code: Kind(code, **row) for code, row in flat.items()}


RULES: dict[str, Kind] = _read()
