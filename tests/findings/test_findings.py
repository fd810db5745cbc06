"""The catalogue of findings is whole, and docs/findings.md is what it says.

`python tests/findings/test_findings.py` writes the page anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from tagflow.findings.finding import CATALOGUE, Kind, Severity

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "findings.md"
ABOUT = """# Findings

Every finding of tagflow, from its one catalogue; `tagflow check --explain CODE` says the same. A code is
never renamed or used for something else. An **error** makes a command exit 1: the trainer dies of it, or data
would be lost. A **warning** does so with `--strict` only, an **info** never.

`tagflow check` shows those that it finds in captions, names and folders; `--select CODE,...` shows no others
and `--ignore CODE,...` leaves some out (in `tagflow.toml`: `select` and `ignore` under `[check]`). How tags
exclude each other, and what is exempt, are reviewed lists: `contradictions.csv` and `exempt.csv` in
`tagflow/checks/`.

This page is made by `python tests/findings/test_findings.py` from `tagflow/findings.toml`.
"""


def page() -> str:
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield ABOUT
    yield "| code | severity | what it says |"
    yield "|---|---|---|"
    for kind in CATALOGUE.values():
        yield f"| [`{kind.code}`](#{kind.code}) | {kind.severity} | {_cell(kind.title)} |"
    for kind in CATALOGUE.values():
        yield f"\n## {kind.code}\n"
        yield from _section(kind)


def _section(kind: Kind) -> Iterator[str]:
    yield f"**{kind.severity}**: {_plain(kind.title)}.\n"
    yield f"{_plain(kind.explanation)}\n"
    yield f"Example: {_plain(kind.example)}"
    if kind.cure:
        yield f"\nCure: {_plain(kind.cure)}"


def _cell(text: str) -> str:
    return _plain(text).replace("|", "&#124;")


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: outside of backquotes its marks are escaped."""
    parts = text.split("`")
    return "`".join(
        re.sub(r"([<>*_])", r"\\\1", part) if at % 2 == 0 else part for at, part in enumerate(parts)
    )


def test_the_page_is_the_catalogue() -> None:
    assert PAGE.read_text(encoding="utf-8") == page() + "\n"


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.code)
def test_a_kind_is_whole(kind: Kind) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind.code)
    assert kind.severity in get_args(Severity)
    assert kind.title and len(kind.title) <= 110 and not kind.title.endswith(".")
    assert len(kind.explanation) > len(kind.title) / 2 and kind.explanation.endswith((".", "?"))
    assert kind.example and kind.cure is not None


def test_codes_that_were_once_there_are_there_still() -> None:
    known = (ROOT / "tests" / "finding_codes.txt").read_text(encoding="utf-8").split()
    assert known == sorted(known) and not set(known) - CATALOGUE.keys()
    assert set(known) == CATALOGUE.keys(), "add the new code to tests/finding_codes.txt"


def test_every_code_is_used_somewhere() -> None:
    files = [path for path in (ROOT / "tagflow").rglob("*.py") if path.name != "findings.py"]
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert not [code for code in CATALOGUE if f'"{code}"' not in source]


def test_no_code_stands_in_two_catalogues() -> None:
    from tagflow.models.catalogue import CATALOGUE as MODELS

    assert not MODELS.keys() & CATALOGUE.keys()


if __name__ == "__main__":
    PAGE.write_text(page() + "\n", encoding="utf-8")
