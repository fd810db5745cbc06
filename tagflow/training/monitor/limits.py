"""The limits of all diagnoses, by name; open it for where they are read. Numbers and reasons: limits.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

LIMITS: dict[str, float] = {
    name: row["value"]
    for name, row in tomllib.loads(
        Path(__file__).with_name("limits.toml").read_text(encoding="utf-8")
    ).items()
}
