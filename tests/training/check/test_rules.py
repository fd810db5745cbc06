"""Every rule has a setup that triggers it and one that comes near."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from every_case import CASES, READ
from made_up_options import commands, documents
from rule_cases import Case
from rule_setups import build

from tagflow.findings.catalogue import Severity
from tagflow.findings.finding import Finding, finding
from tagflow.training.check import rules
from tagflow.training.check.rules import CODES_OF_READING, RULES, faults_of
from tagflow.training.sd_scripts import dataset_config
from tagflow.training.setup.read import setup_of_command, with_files
from tagflow.training.setup.setup import Setup


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_a_rule_finds_its_fault_and_no_other(case: Case, tmp_path: Path) -> None:
    found = {fault.code for fault in faults_of(build(tmp_path, **case.bad))}
    assert {case.code} | case.also <= found
    if not case.bad.keys() & {"command", "toml", "dataset"}:  # of which nothing but one option was given
        assert found == {case.code} | case.also


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_a_rule_says_nothing_of_what_is_near(case: Case, tmp_path: Path) -> None:
    found = {fault.code for fault in faults_of(build(tmp_path, **case.near))}
    assert case.code not in found and "rule-crashed" not in found


@pytest.mark.parametrize("case", READ, ids=lambda case: case.code)
def test_what_reading_finds(case: Case, tmp_path: Path) -> None:
    bad, near = (build(tmp_path, **given) for given in (case.bad, case.near))
    assert case.code in {fault.code for fault in bad.faults}
    assert case.code not in {fault.code for fault in near.faults}
    assert {fault.code for fault in bad.faults} <= {fault.code for fault in faults_of(bad)}


def test_a_sound_setup_has_no_fault(tmp_path: Path) -> None:
    assert faults_of(build(tmp_path)) == []


def test_every_code_of_every_rule_has_cases() -> None:
    """Of reading, too. Those of captions rendered into a run folder are in test_structure_data.py."""
    assert sorted({case.code for case in CASES}) == sorted(code for rule in RULES for code in rule.codes)
    assert sorted(case.code for case in READ) == sorted(CODES_OF_READING)


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


@pytest.mark.parametrize(
    ("need", "code"),
    [
        ("machine", "eight-bit-missing"),
        ("base", "v-parameterization-missing"),
        ("images", "captions-blank"),
        ("dataset", "captions-blank"),
    ],
)
def test_what_is_not_known_is_said(need: str, code: str, tmp_path: Path) -> None:
    field = {"dataset": "subsets"}.get(need, need)
    setup = replace(build(tmp_path), **{field: None})
    (found,) = (one for one in faults_of(setup) if one.code == "rule-not-asked")
    unasked = [one for rule in RULES if need in rule.needs for one in rule.codes]
    assert (found.severity, found.figures["missing"], found.figures["codes"]) == ("info", need, unasked)
    assert code in unasked and found.cure and f"{len(unasked)} codes: {unasked[0]}, " in found.detail


def test_a_rule_waits_for_one_thing_only_and_the_reason_can_be_given(tmp_path: Path) -> None:
    setup = replace(build(tmp_path), subsets=None, images=None, machine=None)
    found = [one for one in faults_of(setup, {"machine": "no such Python"}) if one.code == "rule-not-asked"]
    assert [one.figures["missing"] for one in found] == ["dataset", "machine"]
    assert found[1].detail.startswith("no such Python; not asked: ")
    codes = [code for one in found for code in one.figures["codes"]]
    assert len(set(codes)) == len(codes)


def test_a_rule_that_crashes_is_a_finding_and_the_others_still_speak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(setup: Setup) -> Iterator[Finding]:
        yield finding("v2-model")
        raise ZeroDivisionError("by 0")

    setup = build(tmp_path, options={"clip_skip": 2, "v2": True})
    expected = [one for one in faults_of(setup) if one.code != "v2-model"]
    made = [replace(rule, function=broken) if "v2-model" in rule.codes else rule for rule in RULES]
    monkeypatch.setattr(rules, "RULES", tuple(made))
    crash, *others = faults_of(setup)
    assert others == expected and [one.code for one in others] == ["clip-skip"]
    assert (crash.code, crash.severity, crash.option) == ("rule-crashed", "error", "v2")
    assert crash.detail == "v2_model: ZeroDivisionError: by 0"
    assert crash.figures["reads"] == ["v2"] and "in broken" in str(crash.figures["traceback"])


def test_no_command_and_no_dataset_is_too_odd(tmp_path: Path) -> None:
    """A hundred and fifty commands of random options and values, and as many dataset files."""
    chance = random.Random(20)  # noqa: S311
    for words in commands(chance)[:150]:
        found = faults_of(with_files(setup_of_command(["sdxl_train_network.py", *words], tmp_path)))
        assert "rule-crashed" not in {one.code for one in found}
    setup = build(tmp_path)
    for doc in documents(chance)[:150]:
        if not dataset_config.faults(doc):
            made = dataset_config.subsets(doc, setup.values, setup.given, tmp_path, "dataset.toml")
            found = faults_of(with_files(replace(setup, subsets=made)))
            assert "rule-crashed" not in {one.code for one in found}
