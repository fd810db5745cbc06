"""TOML that somebody else wrote: whatever is wrong with it is a ValueError, and soon said."""

from __future__ import annotations

import tomllib
from typing import Any

LONGEST_LINE = 10_000
"""Characters. A key of n dotted parts stands on one line and takes Python's reader n * n steps."""


def read_toml(text: str) -> dict[str, Any]:
    """Read a TOML text. Raises ValueError: no TOML, nested too deeply, a number or a line too long."""
    if max(map(len, text.split("\n"))) > LONGEST_LINE:
        raise ValueError(f"a line has more than {LONGEST_LINE} characters")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error
