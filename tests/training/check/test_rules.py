"""Every rule has a setup that triggers it and one that comes near."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from made_up_options import commands, documents
from rule_cases import CASES, READ, Case
from rule_setups import build

from tagflow.findings.catalogue import Severity, catalogue
from tagflow.training.check.rules import faults_of
from tagflow.training.sd_scripts import dataset_config
from tagflow.training.setup.look import with_files
from tagflow.training.setup.read import setup_of_command


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
    rows = catalogue("options")
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
