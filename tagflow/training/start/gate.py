"""The gate before the trainer: whether a run may start; open it for how its checks and rules are asked.

The checks are in checks.py; all rules of `train check` are asked, too. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tagflow.audit.file import current_audit
from tagflow.errors import AuditError, TrainerError
from tagflow.files.read import read_toml
from tagflow.findings.finding import Finding, by_severity
from tagflow.training.check.rules import faults_of
from tagflow.training.machine.probe import Machine
from tagflow.training.run_folder import DATA, TRAIN, read_plan
from tagflow.training.sd_scripts.options import Options, flat
from tagflow.training.setup.read import setup_of_run, with_files
from tagflow.training.setup.setup import Setup
from tagflow.training.start.checks import CHECKS, AuditedStart, PlannedStart
from tagflow.training.start.record import Edit, read_record, settled
from tagflow.training.structure.render import read_manifest

NEVER = frozenset({"another-running"})
"""What no reason overrules."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What was found. `setup`: what the rules looked at; `edits`: values of train.toml other than planned."""

    setup: Setup
    faults: tuple[Finding, ...]
    edits: tuple[Edit, ...]

    def refusals(self) -> list[Finding]:
        """What stands against a start."""
        return [fault for fault in self.faults if fault.severity == "error"]

    def final(self) -> bool:
        """Whether no reason overrules what was found, or what a check that crashed might have found."""
        asking = {one.name for one in CHECKS if NEVER.intersection(one.codes)}
        return any(
            fault.code in NEVER or (fault.code == "rule-crashed" and fault.figures["rule"] in asking)
            for fault in self.faults
        )


def evaluate_gate(run: Path, *, machine: Machine | None = None, options: Options | None = None) -> Gate:
    """Everything the gate knows of a run. `machine`: the trainer's Python, where it was asked.

    A check that crashes gives a finding that says so, an error, and the others are still asked. Raises
    TrainerError for what is no run folder, or one whose plan is damaged.
    """
    start = planned_start(run, machine=machine, options=options)
    audited = audited_start(start)
    faults: list[Finding] = []
    for one in CHECKS:
        subject = audited if "audit" in one.needs else start
        if subject is not None:
            faults += one.findings(subject)
    faults += faults_of(start.setup)
    return Gate(start.setup, tuple(sorted(faults, key=by_severity)), start.edits)


def planned_start(
    run: Path, *, machine: Machine | None = None, options: Options | None = None
) -> PlannedStart:
    """Read what the checks look at. Raises TrainerError as :func:`evaluate_gate` does."""
    plan = read_plan(run)
    setup = with_files(replace(setup_of_run(run, options=options), machine=machine))
    record, audit, unusable = read_record(run), None, ""
    if plan.dataset is not None:
        try:
            audit = current_audit(plan.dataset.root)
        except AuditError as problem:
            unusable = problem.message
        except OSError as problem:
            unusable = f"{plan.dataset.root}: {problem.strerror}"
    edits: list[Edit] = []
    with suppress(OSError, ValueError):  # what cannot be read is the rules' finding
        there = flat(read_toml((run / TRAIN).read_text(encoding="utf-8")))
        planned = {one.name: one.value for one in plan.values if one.file == TRAIN}
        edits = [
            {"name": name, "planned": planned.get(name), "now": there.get(name)}
            for name in sorted(planned.keys() | there.keys())
            if planned.get(name) != there.get(name)
        ]
    return PlannedStart(
        run, plan, setup, None if record is None else settled(record), tuple(edits), audit, unusable
    )


def audited_start(start: PlannedStart) -> AuditedStart | None:
    """The start with the audit of its dataset; None where it has none."""
    dataset, audit = start.plan.dataset, start.audit
    if dataset is None or audit is None:
        return None
    if start.plan.structure.kind == "none":
        return AuditedStart(start.setup, dataset, audit, dataset.root, audit.by_path(), rendered=False)
    captions: Collection[str] = ()
    with suppress(TrainerError):  # a damaged list is a finding of its own
        listed = read_manifest(start.run)
        captions = () if listed is None else listed.captions
    return AuditedStart(start.setup, dataset, audit, start.run / DATA, captions, rendered=True)
