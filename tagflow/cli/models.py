"""`tagflow models`: what is in a model file, and whether it is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from tagflow.cli import output
from tagflow.cli.boundary import say_error
from tagflow.cli.help import Commands, command
from tagflow.cli.options import FOLDER
from tagflow.cli.output import Progress
from tagflow.errors import EncoderError

if TYPE_CHECKING:
    from tagflow.findings.finding import Finding
    from tagflow.models.verify import Report

_SCHEMA = "tagflow.models/1"
_NAMED = 5  # tensors named in a line for people; --json has them all
_KINDS = {"checkpoint": "checkpoint", "vae": "VAE", "other": "no SDXL model"}


class ModelCommands(Commands):
    """The commands on model files."""

    sections: ClassVar = {
        "Commands": {
            "verify": ("models", "verify_models", "Verify SDXL checkpoints and VAEs, and give their sha256."),
            "compare": ("models_compare", "compare_models", "Compare both encoders with the libraries'."),
        }
    }


@click.group(cls=ModelCommands)
def models() -> None:
    """Look into model files."""


@command("verify")
@click.argument("files", metavar="FILE...", type=FOLDER, nargs=-1, required=True)
@click.option("--deep", is_flag=True, help="Look for NaN and Inf in every tensor, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for every file.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
def verify_models(files: tuple[Path, ...], *, deep: bool, as_json: bool, strict: bool) -> int:
    """Verify FILEs: complete single-file SDXL checkpoints, or stand-alone VAEs.

    Names, shapes and types are compared with SDXL's own, from the header alone; a file that is cut off,
    damaged or pickled is refused at once. Then the whole file is read for its sha256. Exit code: that of the
    worst file.
    """
    codes = [_one(path, deep=deep, as_json=as_json, strict=strict) for path in files]
    return max(codes)


def _one(path: Path, *, deep: bool, as_json: bool, strict: bool) -> int:
    """Verify one file and say what was found; a file that is refused does not stop the others."""
    from tagflow.models.verify import verify

    try:
        progress = Progress()
        with progress.shown():
            tell = progress.progress(f"MB of {output.visible(path.name)}")
            report = verify(path, deep=deep, progress=lambda done, total: tell(done // 10**6, total // 10**6))
    except EncoderError as problem:
        say_error(EncoderError(output.visible(problem.message), problem.cure))
        if as_json:
            error = {"message": problem.message, "cure": problem.cure}
            output.as_json({"schema": _SCHEMA, "path": str(path), "error": error})
        return problem.exit_code
    if as_json:
        output.as_json(_object(report))
    else:
        for line in _lines(report):
            output.out(output.visible(line))
    counted = {"error", "warning"} if strict else {"error"}
    return int(any(finding.severity in counted for finding in report.findings))


def _object(report: Report) -> dict[str, Any]:
    spoken = report.prediction
    return {
        "schema": _SCHEMA,
        "path": str(report.path),
        "kind": report.kind,
        "layout": report.layout,
        "bytes": report.size,
        "sha256": report.sha256,
        "tensors": report.tensors,
        "parts": report.parts,
        "prediction": None if spoken is None else {"type": spoken.type, "evidence": list(spoken.evidence)},
        "metadata": report.metadata,
        "deep": report.deep,
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity,
                "detail": finding.detail,
                **finding.figures,
            }
            for finding in report.findings
        ],
    }


def _lines(report: Report) -> Iterator[str]:
    """A report for people."""
    severities = Counter(finding.severity for finding in report.findings)
    layout = f" in {report.layout} layout" if report.layout else ""
    size = f"{report.size / 10**6:,.1f} MB, {report.tensors:,} tensors"
    whole = "complete SDXL " if report.kind == "checkpoint" and not severities["error"] else ""
    yield f"{report.path}: {whole}{_KINDS[report.kind]}{layout}, {size}"
    yield f"  sha256      {report.sha256}"
    for part, counts in report.parts.items():
        types = ", ".join(f"{count:,} {dtype}" for dtype, count in counts.items())
        yield f"  {part:<12}{types}"
    if report.prediction is not None:
        evidence = "; ".join(report.prediction.evidence) or "no key and no metadata says it"
        yield f"  prediction  {report.prediction.type} ({evidence})"
    for name, text in report.metadata.items():
        yield f"  metadata    {name} = {text}"
    for finding in report.findings:
        yield f"  {_finding(finding)}"
    found = f"{severities['error']} errors, {severities['warning']} warnings, {severities['info']} notes"
    depth = "names, shapes, types and values" if report.deep else "names, shapes and types"
    yield f"  {'wrong' if severities['error'] else 'sound'}       {found} ({depth} checked)"


def _finding(finding: Finding) -> str:
    from tagflow.models.structure import tensors_of

    kind = finding.kind
    part, tensors = finding.figures.get("part"), tensors_of(finding)
    where = f"{part}: " if part else ""
    names, more = tensors[:_NAMED], len(tensors) - _NAMED
    listed = ", ".join(names) + (f" and {more:,} more" if more > 0 else "")
    seen = "; ".join(text for text in (finding.detail, listed) if text)
    cure = f"; cure: {kind.cure}" if kind.cure else ""
    return f"{finding.severity}: {finding.code}: {where}{kind.title}" + (f" ({seen})" if seen else "") + cure
