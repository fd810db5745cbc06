"""Every code has one meaning, a whole text and a use; two pages of docs/ say what the catalogues say.

`python tests/findings/test_findings.py` writes both pages anew.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import pytest

from tagflow.findings import catalogue as module
from tagflow.findings.catalogue import (
    OF_TRAINING,
    THEMES,
    Kind,
    Severity,
    aliases,
    all_kinds,
    catalogue,
    current,
    kind_of,
)
from tagflow.findings.finding import NOWHERE, Where, by_severity, finding, line_and_column, of_caption

ROOT = Path(__file__).parents[2]
FINDINGS, RULES = ROOT / "docs" / "findings.md", ROOT / "docs" / "train-rules.md"
CODES = Path(__file__).with_name("codes.txt")
ABOUT_FINDINGS = """# Findings

Every finding of tagflow, by what it is about; `tagflow rule CODE` says the same. A code is never used for
something else, and where one was renamed its former name is understood everywhere. An **error** makes a
command exit 1: the trainer dies of it, or data would be lost. A **warning** does so with `--strict` only, an
**info** never. What `tagflow train check` looks for has [a page of its own](train-rules.md).

Wherever findings are printed, `--select CODE,...` shows no others and `--ignore CODE,...` leaves some out
(for `check`, in `tagflow.toml`, too: `select` and `ignore` under `[check]`). How tags exclude each other, and
what is exempt, are reviewed lists: `contradictions.csv` and `exempt.csv` in `tagflow/checks/`.

This page is made by `python tests/findings/test_findings.py` from the files in `tagflow/findings/`.
"""
ABOUT_RULES = """# What can be wrong with a training run

Every rule of `tagflow train check`, and what `tagflow train start` asks besides; `tagflow rule CODE` has it.
An **error**: sd-scripts would stop, or train what nobody meant, and the exit code is 1. A **warning**: it
may; exit code 1 with `--strict` only. An **info** is worth knowing. sd-scripts reads options and dataset
first and then loads the model, which takes minutes: each rule says on which side of that it would be found.

    tagflow train check RUN                             a run folder
    tagflow train check train.toml                      a file for --config_file
    tagflow train check -- accelerate launch sdxl_train_network.py --...

This page is made by `python tests/findings/test_findings.py` from the files of these themes in
`tagflow/findings/`.
"""


def page(about: str, themes: Sequence[str]) -> str:
    return "\n".join(_lines(about, themes)) + "\n"


def _lines(about: str, themes: Sequence[str]) -> Iterator[str]:
    yield about
    for theme in themes:
        if len(themes) > 1:
            yield f"\n## {THEMES[theme][0].upper()}{THEMES[theme][1:]}\n"
        yield "| code | severity | what it says |"
        yield "|---|---|---|"
        for kind in catalogue(theme).values():
            title = _plain(kind.title).replace("|", "&#124;")
            yield f"| [`{kind.code}`](#{kind.code}) | {kind.severity} | {title} |"
    for theme in themes:
        for kind in catalogue(theme).values():
            yield f"\n### {kind.code}\n"
            yield f"**{kind.severity}**: {_plain(kind.title)}.\n"
            yield f"{_plain(kind.explanation)}\n"
            yield f"Example: {_plain(kind.example)}"
            if kind.cure:
                yield f"\nCure: {_plain(kind.cure)}"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: outside of backquotes its marks are escaped."""
    parts = text.split("`")
    return "`".join(
        re.sub(r"([<>*_])", r"\\\1", part) if at % 2 == 0 else part for at, part in enumerate(parts)
    )


def pages() -> dict[Path, str]:
    others = [theme for theme in THEMES if theme not in OF_TRAINING and catalogue(theme)]
    return {FINDINGS: page(ABOUT_FINDINGS, others), RULES: page(ABOUT_RULES, OF_TRAINING)}


def test_the_pages_are_the_catalogues() -> None:
    assert not [file.name for file, text in pages().items() if file.read_text(encoding="utf-8") != text]


@pytest.mark.parametrize("theme", THEMES)
def test_kinds_are_whole(theme: str) -> None:
    faults = [(kind.code, what) for kind in catalogue(theme).values() for what in _lacks(kind)]
    assert not faults


def _lacks(kind: Kind) -> Iterator[str]:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind.code):
        yield "kebab case"
    if kind.severity not in get_args(Severity):
        yield "severity"
    if not kind.title or len(kind.title) > 110 or kind.title.endswith("."):
        yield "title"
    if len(kind.explanation) <= len(kind.title) / 2 or not kind.explanation.endswith((".", "?")):
        yield "explanation"
    if not kind.example:
        yield "example"
    if not kind.cure and kind.severity != "info":
        yield "cure"


def test_one_namespace() -> None:
    assert not [code for code, count in Counter(kind.code for kind in all_kinds()).items() if count > 1]
    files = Path(module.__file__).parent.glob("*.toml")
    assert {file.stem for file in files} == {*THEMES, "aliases"}


def test_a_former_name_is_known_and_names_nothing_else() -> None:
    codes = {kind.code for kind in all_kinds()}
    assert not aliases().keys() & codes and set(aliases().values()) <= codes
    assert all(current(old) == new for old, new in aliases().items())
    assert current("nothing-of-the-kind") is None
    with pytest.raises(KeyError):
        kind_of("nothing-of-the-kind")


def test_codes_that_were_once_there_are_there_still() -> None:
    known = CODES.read_text(encoding="utf-8").split()
    codes = {kind.code for kind in all_kinds()}
    assert known == sorted(known) and not [code for code in known if current(code) is None]
    assert codes <= set(known), "add the new codes to tests/findings/codes.txt"


def test_every_code_is_used_somewhere() -> None:
    files = (ROOT / "tagflow").rglob("*.py")
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert not [kind.code for kind in all_kinds() if f'"{kind.code}"' not in source]


def test_the_files_hold_nothing_else() -> None:
    """White space does not count, and every key of a row is one that a kind has."""
    for theme in THEMES:
        rows = tomllib.loads((Path(module.__file__).parent / f"{theme}.toml").read_text(encoding="utf-8"))
        assert list(rows) == list(catalogue(theme))
        assert {key for row in rows.values() for key in row} <= {*Kind.__slots__} - {"code", "theme"}


def test_a_finding_takes_what_its_code_says_unless_told_otherwise() -> None:
    plain = finding("tag-duplicate", "sofa")
    assert (plain.severity, plain.where, plain.cure) == ("warning", NOWHERE, kind_of("tag-duplicate").cure)
    other = finding("tag-duplicate", severity="error", cure="x", option="seed", figures={"times": 2})
    assert (other.severity, other.cure, other.option, other.figures["times"]) == ("error", "x", "seed", 2)
    assert other.at(file="a.txt", line=2).where == Where("a.txt", 2, None, "seed")
    assert sorted([plain, other], key=by_severity) == [other, plain] and len({plain, plain.at()}) == 1
    assert of_caption("a.txt", "tag-duplicate", "sofa").where == Where("a.txt", tag="sofa")
    assert of_caption("a.txt", "tag-empty", "2 times").where.tag is None


def test_lines_and_columns_count_from_one_in_characters() -> None:
    text = "\ufeffä, b\r\nc"
    assert [line_and_column(text, text.index(sign)) for sign in "äbc"] == [(1, 1), (1, 4), (2, 1)]


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8")
