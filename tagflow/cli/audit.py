"""`tagflow audit`; open it for which captions it calls the worst, and for what its JSON holds.

The summary above them is in output.py, for `run` prints it, too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from tagflow.audit.file import current_audit, read_audit
from tagflow.cli import output
from tagflow.cli.findings import exit_code, tell_beside
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER, collected
from tagflow.dataset.survey import AUDIT_NAME
from tagflow.errors import AuditError
from tagflow.findings.finding import finding
from tagflow.judge.derive import inconsistencies
from tagflow.schema import AUDIT_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditShowOptions:
    """What `tagflow audit` was asked. `folder`: a dataset, or an audit's file; `worst`: captions shown."""

    folder: Path
    worst: int
    as_json: bool


@command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--worst", type=click.IntRange(0), default=10, metavar="N", help="Default: 10.")
@click.option("--json", "as_json", is_flag=True, help="The audit as one JSON object, every caption in it.")
@collected(AuditShowOptions)
def audit(asked: AuditShowOptions) -> int:
    """Show the audit of DIR (or an audit file): summary, and the captions that changed most in meaning."""
    folder = asked.folder
    file = folder if folder.is_file() else folder / AUDIT_NAME
    found = read_audit(file) if folder.is_file() else current_audit(folder)
    if found is None:
        raise AuditError(f"{file}: there is no audit", "run `tagflow run` first")
    against = [finding("audit-inconsistent", why).at(file=file.as_posix()) for why in inconsistencies(found)]
    tell_beside(against)
    if asked.as_json:
        output.as_json({"schema": AUDIT_VERSION, **asdict(found.meta), "captions": found.table.to_pylist()})
        return exit_code(against, strict=False)
    output.out(f"run         {found.meta.run} ({found.meta.command}, {found.meta.finished})")
    output.out(f"ontology    {found.meta.ontology} {found.meta.ontology_hash[:12]}")
    for line in output.summary(found.table, found.meta):
        output.out(line)
    changed = [row for row in found.table.to_pylist() if row["sim_te1"] is not None and row["sim_te1"] < 1]
    changed.sort(key=lambda row: min(one for one in (row["sim_te1"], row["sim_te2"]) if one is not None))
    if changed and asked.worst:
        output.out("worst        te1     te2     unet    tokens  caption")
    for row in changed[: asked.worst]:
        sims = (row[name] for name in ("sim_te1", "sim_te2", "sim_unet"))
        numbers = "  ".join("     -" if sim is None else f"{sim:6.4f}" for sim in sims)
        where = output.visible(f"{row['path']} ({row['status']})")
        output.out(f"            {numbers}  {row['tokens'] or '-':>6}  {where}")
    return exit_code(against, strict=False)
