"""The gate before the trainer: is what would be trained what was certified, and would it run?

The audit's verdict, the files on disk against it, the plan against the audit, rendered captions, caches and
every rule. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tagflow.audit import Audit, certifies, current_audit
from tagflow.drift import Drift, Present, drift
from tagflow.errors import AuditError, OntologyError, SourceError, UsageProblem
from tagflow.ontology import Ontology
from tagflow.sources.folder import read, survey
from tagflow.toml import read_toml
from tagflow.training.certified import forged, uncertified
from tagflow.training.faults import Fault
from tagflow.training.look import looked
from tagflow.training.machine import Machine
from tagflow.training.manifest import captions_of, changed
from tagflow.training.options import Options
from tagflow.training.read import read_plan, setup_of_run
from tagflow.training.record import host, read_record, settled
from tagflow.training.rules import faults_of
from tagflow.training.run_folder import DATA, DATASET, TRAIN
from tagflow.training.setup import Setup

NEVER = frozenset({"another-running"})
"""What no reason overrules."""

_NAMED = 5  # paths in a message
_DRIFTED = {"caption": "captions-drifted", "image": "images-drifted", "ontology": "ontology-drifted"}


@dataclass(frozen=True, slots=True)
class Gate:
    """What was found. `setup`: what the rules looked at; `edits`: values of train.toml other than planned."""

    setup: Setup
    plan: dict[str, Any]
    faults: tuple[Fault, ...]
    edits: tuple[dict[str, Any], ...]

    def refusals(self) -> list[Fault]:
        """What stands against a start."""
        return [fault for fault in self.faults if fault.severity == "error"]


def refusals(run: Path) -> list[Fault]:
    """Why a run may not be started; empty where it may. Raises TrainerError for what is no run folder."""
    return look(run).refusals()


def look(run: Path, *, machine: Machine | None = None, options: Options | None = None) -> Gate:
    """Everything the gate knows of a run. `machine`: the trainer's Python, where it was asked.

    Raises TrainerError for what is no run folder, or one whose plan is damaged.
    """
    plan = read_plan(run)
    setup = replace(looked(setup_of_run(run, options=options)), machine=machine)
    edits = tuple(_edits(run, plan))
    faults = [
        *_running(run),
        *_copied(run, setup),
        *_dataset(run, plan, setup),
        *changed(run),
        *_stale(setup),
        *faults_of(setup),
    ]
    if edits:
        faults.append(Fault("plan-edited", _some(f"{one['name']} {one['now']}" for one in edits)))
    order = ("error", "warning", "info")
    return Gate(setup, plan, tuple(sorted(faults, key=lambda one: order.index(one.severity))), edits)


def _running(run: Path) -> Iterator[Fault]:
    record = read_record(run)
    record = None if record is None else settled(record)
    if record is not None and record.state == "running":
        code = "another-running" if record.host == host() else "another-host"
        yield Fault(code, f"process {record.pid} on {record.host}, since {record.started}")


def _copied(run: Path, setup: Setup) -> Iterator[Fault]:
    named = setup.path("dataset_config")
    if named is not None and named.resolve() != (run / DATASET).resolve():
        yield Fault("run-copied", str(named), "dataset_config")


def _dataset(run: Path, plan: dict[str, Any], setup: Setup) -> Iterator[Fault]:
    """What is wrong with a plan's dataset: its audit, its files, and whether they are what would be read."""
    planned = plan["dataset"] if isinstance(plan.get("dataset"), dict) else {}
    root = Path(str(planned.get("root", "")))
    audit, fault = audit_of(root)
    if fault is not None:
        yield fault
    if audit is None:
        return
    yield from _verdict(audit)
    yield from _drifted(root, audit)
    if planned.get("dataset_digest") != audit.meta.dataset_digest:
        yield Fault("plan-outdated", f"planned after run {planned.get('run')}, now {audit.meta.run}")
    structure = plan["structure"] if isinstance(plan.get("structure"), dict) else {}
    rendered = structure.get("kind", "none") != "none"
    known = captions_of(run) if rendered else audit.by_path()
    yield from uncertified(setup, audit, run / DATA if rendered else root, known)
    if rendered:
        yield from forged(run / DATA, known, root, audit)


def audit_of(root: Path) -> tuple[Audit | None, Fault | None]:
    """The audit of a dataset, or what is wrong with it."""
    try:
        audit = current_audit(root)
    except AuditError as problem:
        return None, Fault("audit-unusable", problem.message)
    except OSError as problem:
        return None, Fault("audit-unusable", f"{root}: {problem.strerror}")
    return audit, None if audit is not None else Fault("audit-missing", str(root))


def _verdict(audit: Audit) -> Iterator[Fault]:
    meta = audit.meta
    if not certifies(meta, meta.limits, None):
        reasons = f": {'; '.join(meta.reasons)}" if meta.reasons else ""
        yield Fault("audit-not-passed", f"the verdict is {meta.verdict}{reasons}")
        return
    low = [
        mean
        for mean in (meta.sim_te1_mean, meta.sim_te2_mean)
        if mean is not None and mean < meta.limits.min_sim
    ]
    if low:
        yield Fault(
            "audit-not-passed", f"a mean similarity of {min(low):.4f}, its limit {meta.limits.min_sim:g}"
        )


def _drifted(root: Path, audit: Audit) -> Iterator[Fault]:
    try:
        found = survey(root, empty=True)
    except (SourceError, UsageProblem) as problem:
        yield Fault("captions-drifted", problem.message)
        return
    now = Present(
        {path: read(root, path).sha256 for path in found.captions}, found.images, _ontology_now(audit)
    )
    seen = drift(audit, now)
    for part, code in _DRIFTED.items():
        of_part = [one for one in seen if one.code.startswith(part)]
        if of_part:
            yield Fault(code, _some(map(_told, of_part)))
    unread = [path for path, sha in now.captions.items() if sha is None]
    if unread:
        yield Fault("captions-drifted", f"cannot be read: {_some(unread)}")


def _told(one: Drift) -> str:
    return f"{one.where} ({one.code.partition('-')[2]})"


def _ontology_now(audit: Audit) -> str | None:
    """The hash of the audit's ontology as it is today; None where it cannot be known any more."""
    source, overlay = (audit.meta.options.get(name) for name in ("ontology", "overlay"))
    try:
        return Ontology.load(str(source), Path(str(overlay)) if overlay else None).hash if source else None
    except (OntologyError, UsageProblem, OSError):
        return None


def _stale(setup: Setup) -> Iterator[Fault]:
    """Caches of text that are older than their captions, whether or not this run would read them: the next
    one may."""
    found = zip(setup.subsets or (), setup.images or (), strict=True)
    names = [subset.folder / name for subset, images in found if subset.folder for name in images.stale]
    if names:
        yield Fault("caches-stale", _some(names))


def _edits(run: Path, plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Values in train.toml that the plan did not put there. What cannot be read is the rules' finding."""
    try:
        data = read_toml((run / TRAIN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    there: dict[str, Any] = {}
    for name, value in data.items():
        there |= value if isinstance(value, dict) else {name: value}
    planned = {one["name"]: one["value"] for one in plan.get("values", ()) if one.get("file") == TRAIN}
    for name in sorted(planned.keys() | there.keys()):
        if planned.get(name) != there.get(name):
            yield {"name": name, "planned": planned.get(name), "now": there.get(name)}


def _some(texts: Iterable[object]) -> str:
    found = [str(one) for one in texts]
    return ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
