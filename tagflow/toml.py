"""Settings that somebody else wrote: whatever is wrong with them is a ValueError, and soon said."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

LONGEST_LINE = 10_000
"""Characters. A key of n dotted parts stands on one line and takes Python's reader n * n steps."""


def settings_text(file: Path, largest: int) -> str:
    """The text of a settings file of at most so many bytes. Raises ValueError for another, OSError.

    A pipe would block for ever, and a huge file holds no settings.
    """
    if file.exists() and not file.is_file():
        raise ValueError("is no regular file")
    with file.open("rb") as opened:
        data = opened.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"is larger than {largest} bytes")
    return data.decode("utf-8")


def read_toml(text: str) -> dict[str, Any]:
    """Read a TOML text. Raises ValueError: no TOML, nested too deeply, a number or a line too long."""
    if max(map(len, text.split("\n"))) > LONGEST_LINE:
        raise ValueError(f"a line has more than {LONGEST_LINE} characters")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error
