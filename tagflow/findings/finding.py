"""The one type for what is found anywhere: code, where, what was seen; open it for what a finding may carry.

What a code means is in catalogue.py and its TOML files. `error` makes a command exit 1, `warning` only with
`--strict`, `info` never.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tagflow.findings.catalogue import Kind, Severity, kind_of

__all__ = [
    "NOWHERE",
    "SEVERITIES",
    "Figure",
    "Finding",
    "Kind",
    "Severity",
    "Where",
    "by_severity",
    "finding",
    "line_and_column",
    "of_caption",
]

Figure = float | int | str | bool | None | list[Any] | dict[str, Any]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""From worst to mildest."""


@dataclass(frozen=True, slots=True)
class Where:
    """Where something was found; what is not known or has no meaning is None.

    `file`: a path as the user would write it, or relative to the dataset. `line` and `column`: from 1.
    `option`: an option of sd-scripts or of tagflow. `tag`: a tag as the caption spells it.
    """

    file: str | None = None
    line: int | None = None
    column: int | None = None
    option: str | None = None
    tag: str | None = None


NOWHERE = Where()


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: its code, how bad it is here, where, what exactly was seen, and that in numbers.

    `figures` are for programs: names are stable within a code, units are in the names or the catalogue.
    `remedy`: what cures it here, where that depends on what was seen; else the code's own cure holds.
    """

    code: str
    severity: Severity
    where: Where = NOWHERE
    detail: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict, hash=False)
    remedy: str = ""

    @property
    def kind(self) -> Kind:
        """What the catalogue says of the code."""
        return kind_of(self.code)

    @property
    def cure(self) -> str:
        """What to do about it; empty where nothing need be done, as for a fault that is only a note here."""
        lowered = self.severity == "info" and self.kind.severity != "info"
        return self.remedy or ("" if lowered else self.kind.cure)

    @property
    def option(self) -> str:
        """The option that it is about; empty for none."""
        return self.where.option or ""

    def at(self, **where: Any) -> Finding:
        """The same finding somewhere more exact; takes the fields of :class:`Where`."""
        return replace(self, where=replace(self.where, **where))


def finding(
    code: str,
    detail: str = "",
    *,
    file: str | None = None,
    line: int | None = None,
    column: int | None = None,
    option: str | None = None,
    tag: str | None = None,
    severity: Severity | None = None,
    cure: str = "",
    figures: Mapping[str, Figure] | None = None,
) -> Finding:
    """Make a finding; `severity` and `cure` only where they are not the code's own. Empty words are None.

    Raises KeyError for a code that stands in no catalogue.
    """
    placed = file or option or tag or line
    where = Where(file or None, line, column, option or None, tag or None) if placed else NOWHERE
    return Finding(code, severity or kind_of(code).severity, where, detail, figures or {}, cure)


def of_caption(path: str, code: str, detail: str) -> Finding:
    """A finding as the batch and the audit have it: the caption's path, the code, and what was seen."""
    tag = detail if kind_of(code).detail == "tag" else None
    return finding(code, detail, file=path, tag=tag)


def line_and_column(text: str, at: int) -> tuple[int, int]:
    """Where character `at` of a text stands, both from 1, in characters; a byte order mark is none."""
    before = text[:at].lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def by_severity(found: Finding | Kind) -> int:
    """A sort key: errors first. Sorting by it keeps the order within a severity."""
    return SEVERITIES.index(found.severity)
