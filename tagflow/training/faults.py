"""The catalogue of what can be wrong with a training run: code, severity, what it means and what cures it.

Its text is data, in data/rules.toml; the conditions are in :mod:`tagflow.training.rules`. `error`: the
trainer would stop, or train what nobody meant. `warning`: it may. `info`: worth knowing.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from tagflow.findings import Kind, Severity
from tagflow.training.options import DATA


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
    rows = tomllib.loads((DATA / "rules.toml").read_text(encoding="utf-8"))
    return {
        code: Kind(code, **{name: " ".join(text.split()) for name, text in row.items()})
        for code, row in rows.items()
    }


RULES: dict[str, Kind] = _read()
