"""Every rule has a setup that triggers it and one that comes near; the catalogue is whole, its page is true.

`python tests/training/check/test_rules.py` writes docs/train-rules.md anew.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from made_up_options import commands, documents
from rule_cases import CASES, READ, Case
from rule_setups import build

import tagflow.findings
from tagflow.findings.finding import CATALOGUE, Kind, Severity
from tagflow.training.check.rules import faults_of
from tagflow.training.faults import RULES
from tagflow.training.sd_scripts import dataset_config
from tagflow.training.setup.look import with_files
from tagflow.training.setup.read import setup_of_command

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "train-rules.md"
CODES = Path(__file__).parents[1] / "rule_codes.txt"
ABOUT = """# What can be wrong with a training run

Every rule of `tagflow train check`, from its one catalogue; `tagflow train check --explain CODE` has it, too.
A code is never renamed or used for something else. An **error**: sd-scripts would stop, or train what nobody
meant, and the exit code is 1. A **warning**: it may; exit code 1 with `--strict` only. An **info** is worth
knowing. sd-scripts reads options and dataset first and then loads the model, which takes minutes: each rule
says on which side of that it would be found, if at all.

    tagflow train check RUN                             a run folder
    tagflow train check train.toml                      a file for --config_file
    tagflow train check -- accelerate launch sdxl_train_network.py --...

This page is made by `python tests/training/check/test_rules.py` from `tagflow/training/data/rules.toml` and
`gate.toml`; the latter holds what `tagflow train start` asks besides.
"""


def page() -> str:
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield ABOUT
    yield "| code | severity | what it says |"
    yield "|---|---|---|"
    for kind in RULES.values():
        title = _plain(kind.title).replace("|", "\\|")
        yield f"| [`{kind.code}`](#{kind.code}) | {kind.severity} | {title} |"
    for kind in RULES.values():
        yield f"\n## {kind.code}\n"
        yield f"**{kind.severity}**: {_plain(kind.title)}.\n"
        yield f"{_plain(kind.explanation)}\n"
        yield f"Example: {_plain(kind.example)}"
        yield f"\nCure: {_plain(kind.cure)}"


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is, outside of code spans."""
    parts = text.split("`")
    return "`".join(
        re.sub(r"([\\<>*_])", r"\\\1", part) if at % 2 == 0 else part for at, part in enumerate(parts)
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_a_rule_finds_its_fault_and_no_other(case: Case, tmp_path: Path) -> None:
    found = {fault.code for fault in faults_of(build(tmp_path, **case.bad))}
    assert {case.code} | case.also <= found
    if not case.bad.keys() & {"command", "toml", "dataset"}:  # of which nothing but one option was given
        assert found == {case.code} | case.also


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_a_rule_says_nothing_of_what_is_near(case: Case, tmp_path: Path) -> None:
    assert case.code not in {fault.code for fault in faults_of(build(tmp_path, **case.near))}


@pytest.mark.parametrize("case", READ, ids=lambda case: case.code)
def test_what_reading_finds(case: Case, tmp_path: Path) -> None:
    bad, near = (build(tmp_path, **given) for given in (case.bad, case.near))
    assert case.code in {fault.code for fault in bad.faults}
    assert case.code not in {fault.code for fault in near.faults}
    assert {fault.code for fault in bad.faults} <= {fault.code for fault in faults_of(bad)}


def test_a_sound_setup_has_no_fault(tmp_path: Path) -> None:
    assert faults_of(build(tmp_path)) == []


def test_every_rule_has_cases() -> None:
    rows = tomllib.loads(
        (Path(tagflow.findings.__file__).with_name("rules.toml")).read_text(encoding="utf-8")
    )
    rendered = {code for code in rows if code.startswith("rendered-")}  # test_structure_* has these
    cased = [case.code for case in (*READ, *CASES)]
    assert sorted(cased) == sorted(rows.keys() - rendered)


def test_errors_come_first_and_each_fault_once(tmp_path: Path) -> None:
    setup = build(tmp_path, options={"clip_skip": 2, "v2": True}, drop=("seed",), more={"image_dir": "/x"})
    found = faults_of(setup)
    order = [get_args(Severity).index(fault.severity) for fault in found]
    assert order == sorted(order) and len(set(found)) == len(found)


def test_one_fault_of_many_subsets_is_said_once(tmp_path: Path) -> None:
    setup = build(tmp_path, subset={"shuffle_caption": True}, more={"image_dir": str(tmp_path)})
    found = [fault for fault in faults_of(setup) if fault.code == "shuffle-undoes-order"]
    assert len(found) == 1 and found[0].detail.endswith("and 1 more")


def test_a_plan_knows_which_captions_have_nothing_to_fix(tmp_path: Path) -> None:
    lacking = next(case for case in CASES if case.code == "separator-lacking")
    assert faults_of(replace(build(tmp_path, **lacking.bad), planned=True)) == []


def test_no_command_and_no_dataset_is_too_odd(tmp_path: Path) -> None:
    """A hundred and fifty commands of random options and values, and as many dataset files."""
    chance = random.Random(20)  # noqa: S311
    for words in commands(chance)[:150]:
        faults_of(with_files(setup_of_command(["sdxl_train_network.py", *words], tmp_path)))
    setup = build(tmp_path)
    for doc in documents(chance)[:150]:
        if not dataset_config.faults(doc):
            made = dataset_config.subsets(doc, setup.values, setup.given, tmp_path, "dataset.toml")
            faults_of(with_files(replace(setup, subsets=made)))


def test_the_page_is_the_catalogue() -> None:
    assert PAGE.read_text(encoding="utf-8") == page() + "\n"


@pytest.mark.parametrize("kind", RULES.values(), ids=lambda kind: kind.code)
def test_a_kind_is_whole(kind: Kind) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", kind.code)
    assert kind.severity in get_args(Severity)
    assert kind.title and len(kind.title) <= 110 and not kind.title.endswith(".")
    assert len(kind.explanation) > len(kind.title) / 2 and kind.explanation.endswith((".", "?"))
    assert kind.example and kind.cure


def test_codes_that_were_once_there_are_there_still() -> None:
    known = CODES.read_text(encoding="utf-8").split()
    assert known == sorted(known) and not set(known) - RULES.keys()
    assert set(known) == RULES.keys(), "add the new code to tests/training/rule_codes.txt"


def test_every_code_is_used_somewhere() -> None:
    files = (ROOT / "tagflow" / "training").rglob("*.py")
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert not [code for code in RULES if f'"{code}"' not in source]


def test_no_code_stands_in_two_catalogues() -> None:
    assert not RULES.keys() & CATALOGUE.keys()


if __name__ == "__main__":
    PAGE.write_text(page() + "\n", encoding="utf-8")
