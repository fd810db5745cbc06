"""A start as the gate's checks see it; open it for what a check can ask of a run and of its audits.

gate.py reads both kinds of subject.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tagflow.audit.file import Audit
from tagflow.training.run_folder import PlanFile, PlannedDataset
from tagflow.training.setup.setup import Setup
from tagflow.training.start.inputs import Inputs
from tagflow.training.start.record import Edit, Record


@dataclass(frozen=True, slots=True)
class PlannedStart:
    """A run that is to be started, as the checks see it.

    `inputs`: what it reads, as it was before any of it was looked at.
    `record`: its last attempt; None before the first. `edits`: values of train.toml other than planned.
    `audit`: its dataset's; None where there is none, or where it is `unusable`, which says why. The same of
    regularisation images outside of the dataset: `class_audit`, `class_unusable`.
    """

    run: Path
    plan: PlanFile
    setup: Setup
    inputs: Inputs
    record: Record | None
    edits: tuple[Edit, ...]
    audit: Audit | None
    unusable: str
    class_audit: Audit | None = None
    class_unusable: str = ""

    def of_class(self) -> list[int]:
        """Which subsets have captions that only the audit of the regularisation images can vouch for."""
        planned, found = (
            self.plan.regularisation,
            zip(self.setup.subsets or (), self.setup.images or (), strict=False),
        )
        return [
            at
            for at, (subset, images) in enumerate(found)
            if isinstance(planned, PlannedDataset) and subset.values.get("is_reg") and images.captioned
            and subset.folder is not None and subset.folder.resolve().is_relative_to(planned.root.resolve())
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class AuditedStart:
    """The same where its dataset has an audit.

    `captions`: those that may be trained, as paths below `folder` with forward slashes. Where they were
    `rendered` for the run, the folder is the run's own.
    """

    setup: Setup
    dataset: PlannedDataset
    audit: Audit
    folder: Path
    captions: Collection[str]
    rendered: bool
