"""`tagflow rule`: what a finding's code means, or what is known of an option of sd-scripts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from tagflow.cli import output
from tagflow.cli.findings import unknown_code
from tagflow.cli.help import command
from tagflow.errors import UsageProblem
from tagflow.findings.catalogue import THEMES, Kind, all_kinds, catalogue, current, kind_of

_SCHEMA = "tagflow.rule/1"
_WIDTH = 100  # columns of an explanation


@command()
@click.argument("name", metavar="[CODE|OPTION]", required=False)
@click.option("--all", "show_all", is_flag=True, help="List every code with its title.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def rule(name: str | None, *, show_all: bool, as_json: bool) -> int:
    """Explain a finding by its CODE: what it means, what the trainer does, what cures it."""
    if show_all == (name is not None):
        raise UsageProblem("one thing to explain is wanted", "name a code, or list them with --all")
    kinds = all_kinds() if name is None else [_kind(name)]
    if as_json:
        output.as_json({"schema": _SCHEMA, "rules": list(map(_row, kinds))})
    else:
        output.out_lines(_listed() if name is None else explanation(name))
    return 0


def _kind(code: str) -> Kind:
    """What the catalogue says of a code, given by its present name or a former one. Raises UsageProblem."""
    name = current(code)
    if name is None:
        raise unknown_code(code)
    return kind_of(name)


def _row(kind: Kind) -> dict[str, Any]:
    row = asdict(kind)
    del row["detail"]
    return row


def _listed() -> Iterator[str]:
    """Every code on a line, below what it is about."""
    for theme, about in THEMES.items():
        if kinds := catalogue(theme):
            yield f"{about}:"
            yield from (f"  {kind.code} ({kind.severity}): {kind.title}" for kind in kinds.values())


def explanation(code: str) -> Iterator[str]:
    """All that is said of one code. Raises UsageProblem for an unknown one."""
    kind = _kind(code)
    former = f", formerly {code}" if code != kind.code else ""
    yield f"{kind.code} ({kind.severity}{former}): {kind.title}"
    if kind.explanation:
        yield ""
        yield from textwrap.wrap(kind.explanation, _WIDTH, break_long_words=False, break_on_hyphens=False)
    if kind.example or kind.cure:
        yield ""
    if kind.example:
        yield f"example: {kind.example}"
    if kind.cure:
        yield f"cure: {kind.cure}"
