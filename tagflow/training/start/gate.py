"""The gate before the trainer: whether a run may start; open it for how its checks and rules are asked.

The checks are in checks.py; all rules of `train check` are asked, too. Nothing is written.
"""

from __future__ import annotations

import filecmp
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from msgspec import UnsetType

from tagflow.audit.file import Audit, current_audit
from tagflow.dataset.survey import AUDIT_NAME
from tagflow.errors import AuditError, TrainerError
from tagflow.files.read import read_toml
from tagflow.findings.finding import Finding, by_severity
from tagflow.training.check.rules import faults_of
from tagflow.training.machine.probe import Machine
from tagflow.training.run_folder import DATA, DATASET, TRAIN, PlanFile, PlannedDataset, read_plan
from tagflow.training.sd_scripts.files import TEXT_CACHE
from tagflow.training.sd_scripts.options import Options, flat
from tagflow.training.setup.read import setup_of_run, with_files
from tagflow.training.setup.setup import Setup
from tagflow.training.start.checks import CHECKS
from tagflow.training.start.inputs import Inputs, inputs_of, settings_seen
from tagflow.training.start.record import AUDIT, Edit, Record, read_record, settled
from tagflow.training.start.subject import AuditedStart, PlannedStart
from tagflow.training.structure.render import read_manifest

NEVER = frozenset({"another-running"})
"""What no reason overrules."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What was found. `setup`: what the rules looked at; `edits`: values of train.toml other than planned.

    `inputs`: what the training would read, as it was before any of it was looked at.
    """

    setup: Setup
    faults: tuple[Finding, ...]
    edits: tuple[Edit, ...]
    inputs: Inputs

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


def evaluate_gate(
    run: Path,
    *,
    machine: Machine | None = None,
    options: Options | None = None,
    sd_scripts: Path | None = None,
) -> Gate:
    """Everything the gate knows of a run.

    `machine`: the trainer's Python, where it was asked; `sd_scripts`: the copy that will train, where known.
    A check that crashes gives a finding that says so, an error, and the others are still asked. Raises
    TrainerError for what is no run folder, or one whose plan is damaged.
    """
    start = planned_start(run, machine=machine, options=options, sd_scripts=sd_scripts)
    audited = [one for one in (audited_start(start), class_start(start)) if one is not None]
    faults: list[Finding] = []
    for one in CHECKS:
        for subject in audited if "audit" in one.needs else (start,):
            faults += one.findings(subject)
    faults += faults_of(start.setup)
    found = dict.fromkeys(faults)  # both audits may have the same to say
    return Gate(start.setup, tuple(sorted(found, key=by_severity)), start.edits, start.inputs)


def planned_start(
    run: Path,
    *,
    machine: Machine | None = None,
    options: Options | None = None,
    sd_scripts: Path | None = None,
) -> PlannedStart:
    """Read what the checks look at. Raises TrainerError as :func:`evaluate_gate` does."""
    plan, settings = read_plan(run), settings_seen(run)
    setup = replace(setup_of_run(run, options=options), machine=machine, sd_scripts=sd_scripts)
    inputs = inputs_of(setup, settings)
    record = read_record(run)
    setup = with_files(replace(setup, encoded=_encoded(run, setup, plan, record, inputs)))
    audit, unusable = _audit(plan.dataset)
    class_audit, class_unusable = _audit(plan.regularisation)
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
        run, plan, setup, inputs, None if record is None else settled(record), tuple(edits), audit, unusable,
        class_audit, class_unusable,
    )  # fmt: skip


def _audit(planned: PlannedDataset | UnsetType | None) -> tuple[Audit | None, str]:
    """The audit of a dataset, or why it cannot be used; neither where there is none."""
    if not isinstance(planned, PlannedDataset):
        return None, ""
    try:
        return current_audit(planned.root), ""
    except AuditError as problem:
        return None, problem.message
    except OSError as problem:
        return None, f"{planned.root}: {problem.strerror}"


def _encoded(
    run: Path, setup: Setup, plan: PlanFile, record: Record | None, inputs: Inputs
) -> frozenset[Path]:
    """The caches of text that an earlier attempt made of what there is now: captions, settings and base.

    It was not forced, nothing had changed when it began, and it ran when they were written.
    """
    base, found = setup.path("pretrained_model_name_or_path"), set[Path]()
    if record is None or plan.dataset is None or not setup.on("cache_text_encoder_outputs_to_disk"):
        return frozenset()
    if isinstance(plan.regularisation, PlannedDataset):  # whose audit no attempt keeps
        return frozenset()
    caches = [
        file
        for folder in inputs.folders
        if Path(folder).is_dir()
        for file in Path(folder).iterdir()
        if file.name.endswith(TEXT_CACHE)
    ]
    for one in record.attempts:
        if one.forced or one.started is None or one.ended is None or one.folder is None:
            continue
        same = [(run / name, Path(one.folder) / name) for name in (TRAIN, DATASET)]
        same.append((plan.dataset.root / AUDIT_NAME, Path(one.folder) / AUDIT))
        seen = None if base is None else inputs.files.get(str(base))
        with suppress(OSError):  # what is not there is not the same
            if (
                "begun" in one.changed.looked and not one.changed.doubtful
                and seen is not None and one.base.get("sample_sha256") == seen.digest
                and all(filecmp.cmp(*pair, shallow=False) for pair in same)
            ):  # fmt: skip
                begin, end = (datetime.fromisoformat(at).timestamp() for at in (one.started, one.ended))
                found.update(file for file in caches if begin <= file.stat().st_mtime <= end)
    return frozenset(found)


def audited_start(start: PlannedStart) -> AuditedStart | None:
    """The start with the audit of its dataset; None where it has none."""
    dataset, audit = start.plan.dataset, start.audit
    if dataset is None or audit is None:
        return None
    others = set(start.of_class())
    setup = _of_subsets(start.setup, [at for at in range(len(start.setup.subsets or ())) if at not in others])
    if start.plan.structure.kind == "none":
        return AuditedStart(setup, dataset, audit, dataset.root, audit.by_path(), rendered=False)
    captions: Collection[str] = ()
    with suppress(TrainerError):  # a damaged list is a finding of its own
        listed = read_manifest(start.run)
        captions = () if listed is None else listed.captions
    return AuditedStart(setup, dataset, audit, start.run / DATA, captions, rendered=True)


def class_start(start: PlannedStart) -> AuditedStart | None:
    """The start of the regularisation images outside of the dataset, with their audit; None without one."""
    planned, audit, subsets = start.plan.regularisation, start.class_audit, start.of_class()
    if not isinstance(planned, PlannedDataset) or audit is None or not subsets:
        return None
    setup = _of_subsets(start.setup, subsets)
    return AuditedStart(setup, planned, audit, planned.root, audit.by_path(), rendered=False)


def _of_subsets(setup: Setup, chosen: list[int]) -> Setup:
    """The setup with some of its subsets, where they are known."""
    if setup.subsets is None or len(chosen) == len(setup.subsets):
        return setup
    images = None if setup.images is None else tuple(setup.images[at] for at in chosen)
    return replace(setup, subsets=tuple(setup.subsets[at] for at in chosen), images=images)
