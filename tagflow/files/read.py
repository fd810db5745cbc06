"""Settings that somebody else wrote: whatever is wrong with them is a ValueError, and soon said."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any


def inside(root: Path, file: Path) -> bool:
    """Whether a path, its links followed, lies in the folder."""
    return file.resolve().is_relative_to(root.resolve())


def is_file(path: Path) -> bool:
    """Whether a file named after another is there; the longest names have no room for a longer suffix."""
    try:
        return path.is_file()
    except OSError:
        return False


def sha256(data: bytes) -> str:
    """SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_of(file: Path) -> str:
    """The digest of what a file of any size holds now; empty where there is no such file. Raises OSError."""
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


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
