"""The gate's checks: each code has one, with a run that has the fault and one that comes near."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gate_cases import GATE_CASES, GateCase, edit_caption
from rule_setups import watched

from tagflow.findings.catalogue import catalogue
from tagflow.findings.finding import Finding, finding
from tagflow.training.check.registry import Rule
from tagflow.training.start import gate
from tagflow.training.start.checks import CHECKS, PlannedStart
from tagflow.training.start.gate import audited_start, evaluate_gate, planned_start


def test_every_code_of_the_gate_has_one_check_and_cases() -> None:
    codes = Counter(code for check in CHECKS for code in check.codes)
    assert set(codes.values()) == {1}
    assert codes.keys() >= catalogue("gate").keys()
    assert sorted(case.code for case in GATE_CASES) == sorted(codes)


def asked(check: Rule, start: PlannedStart) -> list[Finding]:
    """What one check finds; it has found no other codes than its own, and did not crash."""
    subject = audited_start(start) if "audit" in check.needs else start
    found = [] if subject is None else check.findings(subject)
    assert {one.code for one in found} <= set(check.codes), [one.detail for one in found]
    return found


def check_of(code: str) -> Rule:
    return next(check for check in CHECKS if code in check.codes)


@pytest.mark.parametrize("case", GATE_CASES, ids=lambda case: case.code)
def test_a_check_finds_its_fault_and_reads_what_it_declares(case: GateCase, run: Path) -> None:
    case.bad(run.parent / "dataset", run)
    start, read, check = planned_start(run), set[str](), check_of(case.code)
    found = asked(check, replace(start, setup=watched(start.setup, read)))
    assert case.code in {one.code for one in found} and all(one.detail and one.kind.cure for one in found)
    assert read <= set(check.reads)


@pytest.mark.parametrize("case", GATE_CASES, ids=lambda case: case.code)
def test_a_check_says_nothing_of_what_is_near(case: GateCase, run: Path) -> None:
    case.near(run.parent / "dataset", run)
    assert case.code not in {one.code for one in asked(check_of(case.code), planned_start(run))}


def test_what_a_check_declares_is_read_in_a_sound_run_already(run: Path) -> None:
    start = planned_start(run)
    for check in CHECKS:
        read = set[str]()
        found = asked(check, replace(start, setup=watched(start.setup, read)))
        assert {one.code for one in found} <= {"limit-weak"}  # random encoders certify at no limit
        assert read == set(check.reads), check.name


def with_crash(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let one check fail half-way."""

    def broken(start: PlannedStart) -> Iterator[Finding]:
        yield finding("plan-outdated")
        raise ZeroDivisionError("by 0")

    made = tuple(replace(check, function=broken) if check.name == name else check for check in CHECKS)
    monkeypatch.setattr(gate, "CHECKS", made)


def test_a_check_that_crashes_refuses_the_start_and_the_others_still_speak(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_caption(run.parent / "dataset", run)
    with_crash(monkeypatch, "tokens_certified")
    found = {fault.code: fault for fault in evaluate_gate(run).refusals()}
    assert found.keys() == {"rule-crashed", "captions-drifted"}
    crash = found["rule-crashed"]
    assert crash.detail == "tokens_certified: ZeroDivisionError: by 0"
    assert crash.figures["codes"] == ["tokens-not-certified"] and "broken" in str(crash.figures["traceback"])


@pytest.mark.parametrize(("name", "final"), [("tokens_certified", False), ("another_running", True)])
def test_a_reason_overrules_a_crash_unless_it_could_not_have_overruled_the_finding(
    run: Path, monkeypatch: pytest.MonkeyPatch, name: str, final: bool
) -> None:
    with_crash(monkeypatch, name)
    assert evaluate_gate(run).final() == final
    monkeypatch.undo()
    assert not evaluate_gate(run).final()


@pytest.mark.parametrize("how", [(), ("--dry-run",)])
def test_a_start_that_a_crash_refuses_ends_with_the_code_of_a_bug(
    run: Path, monkeypatch: pytest.MonkeyPatch, tagflow: Any, how: tuple[str, ...]
) -> None:
    with_crash(monkeypatch, "tokens_certified")
    assert tagflow("train", "start", run, *how).code == 4
