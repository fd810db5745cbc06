"""Small TOML and JSON files read within limits; open it for what is said of a damaged or a newer one.

They may be anybody's: settings in TOML, and JSON that tagflow wrote. Every fault is a ValueError, and soon
said. JSON files name their schema, such as `tagflow.record/1`; the number rises when an older reader could no
longer make sense of the file, and a reader takes its own number and all below it.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar


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
    """The text of a settings file of at most so many bytes. Raises ValueError for another, OSError."""
    return settings_bytes(file, largest).decode("utf-8")


def settings_bytes(file: Path, largest: int) -> bytes:
    """The same before it is decoded. Raises ValueError for another, OSError.

    A pipe would block for ever, and a huge file holds no settings.
    """
    if file.exists() and not file.is_file():
        raise ValueError("is no regular file")
    with file.open("rb") as opened:
        data = opened.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"is larger than {largest} bytes")
    return data


def read_toml(text: str) -> dict[str, Any]:
    """Read a TOML text.

    Raises ValueError: no TOML, nested too deeply, a number or a line too long, a NUL character in a text.
    """
    if max(map(len, text.split("\n"))) > LONGEST_LINE:
        raise ValueError(f"a line has more than {LONGEST_LINE} characters")
    try:
        found = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error
    refuse_nul(found)
    return found


def refuse_nul(value: object) -> None:
    """Raise ValueError where a text within lists and dicts holds NUL: no path, tag or option has one."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str) and "\0" in one:
            raise ValueError(f"{one[:60]!r} holds a NUL character")
        if isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            left += one


T = TypeVar("T")


class NewerFile(ValueError):
    """The file's schema has a higher number than this tagflow knows."""


@dataclass(frozen=True, slots=True)
class _Head:
    schema: str


def schema_number(found: str, ours: str) -> int:
    """The number of a file's schema. `ours`: the newest that this tagflow knows, such as `tagflow.audit/2`.

    Raises NewerFile where the number is higher than ours, ValueError for another file's schema.
    """
    name, newest = ours.split("/")
    number = found.removeprefix(f"{name}/")
    if number == found or re.fullmatch("[1-9][0-9]{0,5}", number) is None:
        raise ValueError(f"its schema is {found[:60]!r}")
    if int(number) > int(newest):
        raise NewerFile(f"was made by a newer tagflow: its schema is {found}, this one knows {ours}")
    return int(number)


def read_json(data: bytes, kind: type[T], schema: str) -> T:
    """A JSON object with a `schema`, as the dataclass `kind`; what `kind` does not have is passed over.

    Raises NewerFile, and ValueError where it is no JSON, a value is missing or has another type, or a text
    holds NUL.
    """
    import msgspec  # late, for `tagflow check` knows audits by name only

    if b"\\u0000" in data:
        refuse_nul(msgspec.json.decode(data))
    schema_number(msgspec.json.decode(data, type=_Head).schema, schema)
    return msgspec.json.decode(data, type=kind)
