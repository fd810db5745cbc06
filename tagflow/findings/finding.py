"""The one catalogue of findings in captions and datasets: code, severity, what it means and what cures it.

Its text is data, in findings.toml beside this module. A code is stable: never reused, never renamed.
`error` makes a command exit 1, `warning` only with `--strict`, `info` never.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple


class Seen(NamedTuple):
    """A finding in a caption, and the character of its text where it is seen (None: in the whole)."""

    code: str
    detail: str
    at: int | None = None


class Place(NamedTuple):
    """A finding about a file, a folder or all: a path relative to the root, `.` for the root itself."""

    path: str
    code: str
    detail: str = ""


Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding. `title` is one line for people; `cure` says what to do about it.

    `explanation` is a paragraph: why it matters and what the trainer does; `example` is one case of it.
    """

    code: str
    severity: Severity
    title: str
    cure: str
    explanation: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding in one caption: the code of its kind, and what exactly was seen."""

    code: str
    detail: str = ""

    @property
    def severity(self) -> Severity:
        """The severity of this finding's kind."""
        return CATALOGUE[self.code].severity


def _read() -> dict[str, Kind]:
    text = Path(__file__).with_name("findings.toml").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = tomllib.loads(text)
    flat: dict[str, dict[str, Any]] = {
        code: {name: " ".join(row[name].split()) for name in row} for code, row in rows.items()
    }
    return {code: Kind(code, **row) for code, row in flat.items()}


CATALOGUE: dict[str, Kind] = _read()
