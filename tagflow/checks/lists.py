"""The reviewed lists of the checks: which tags exclude each other, and what is exempt from a check."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

from tagflow.caption import same_tag


class Exclusion(NamedTuple):
    """A row of contradictions.csv: every tag of `left` excludes every tag of `right`.

    `scope`: `picture`, or `person` for what holds only in captions of one person. `unless`: tags that
    make the two agree.
    """

    left: tuple[str, ...]
    right: tuple[str, ...]
    unless: frozenset[str]
    scope: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lists:
    """`excluded`: for a tag, each tag it excludes with the row that says so. `exempt`: exempt.csv by list."""

    excluded: dict[str, dict[str, Exclusion]]
    exempt: dict[str, frozenset[str]]


@cache
def read_lists() -> Lists:
    """Read both files, once in a process."""
    excluded: defaultdict[str, dict[str, Exclusion]] = defaultdict(dict)
    for row in exclusions():
        for left, right in product(row.left, row.right):
            excluded[left].setdefault(right, row)
            excluded[right].setdefault(left, row)
    exempt: defaultdict[str, set[str]] = defaultdict(set)
    for name, tag, _ in _rows("exempt.csv", 3):
        exempt[name].add(key(tag))
    return Lists(dict(excluded), {name: frozenset(tags) for name, tags in exempt.items()})


def exclusions() -> list[Exclusion]:
    """The rows of contradictions.csv, in their order."""
    return [
        Exclusion(_tags(left), _tags(right), frozenset(_tags(unless)), scope, reason)
        for left, right, unless, scope, reason in _rows("contradictions.csv", 5)
    ]


def key(tag: str) -> str:
    """What spellings of a tag have in common here: case, underscores, spacing and hyphens do not count."""
    return same_tag(tag).replace("-", " ")


def _tags(cell: str) -> tuple[str, ...]:
    return tuple(key(tag) for tag in cell.split("|") if tag.strip())


def _rows(name: str, size: int) -> list[list[str]]:
    """The rows below the header: plain cells, for no tag of ours holds a comma; the last cell may."""
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    return [line.split(",", size - 1) for line in lines[1:] if line and not line.startswith("#")]
