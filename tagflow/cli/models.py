"""`tagflow models`: what is in a model file, and whether it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from tagflow.cli import output
from tagflow.cli.boundary import say_error
from tagflow.cli.findings import FindingOptions, Report, chosen, exit_code, finding_options, tell
from tagflow.cli.help import Commands, command
from tagflow.cli.options import FOLDER, collected
from tagflow.cli.output import Progress
from tagflow.errors import EncoderError
from tagflow.findings.finding import Finding
from tagflow.findings.wording import some

if TYPE_CHECKING:
    from tagflow.models.verify import Report as Verified

_SCHEMA = "tagflow.models/2"
_NAMED = 5  # tensors that a detail names; the figures have them all
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


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions(FindingOptions):
    """What `tagflow models verify` was asked. `deep`: look at every number, too."""

    files: tuple[Path, ...]
    deep: bool


@command("verify")
@click.argument("files", metavar="FILE...", type=FOLDER, nargs=-1, required=True)
@click.option("--deep", is_flag=True, help="Look for NaN and Inf in every tensor, too.")
@finding_options
@collected(VerifyOptions)
def verify_models(asked: VerifyOptions) -> int:
    """Verify FILEs: complete single-file SDXL checkpoints, or stand-alone VAEs.

    Names, shapes and types are compared with SDXL's own, from the header alone; a file that is cut off,
    damaged or pickled is refused at once. Then the whole file is read for its sha256. Exit code: that of the
    worst file. --json: one object a line for every file.
    """
    codes, together = [], list[Finding]()
    for path in asked.files:
        found = _verified(path, asked)
        if isinstance(found, EncoderError):  # a file that is refused does not stop the others
            say_error(EncoderError(output.visible(found.message), found.cure))
            if asked.format == "json":
                error = {"message": found.message, "cure": found.cure}
                output.as_json({"schema": _SCHEMA, "path": str(path), "error": error, "findings": []})
            codes.append(found.exit_code)
            continue
        findings = chosen(_placed(found), asked)
        codes.append(exit_code(findings, strict=asked.strict))
        together += findings
        if asked.format in ("json", "text"):
            errors = any(one.severity == "error" for one in found.findings)
            depth = "names, shapes, types and values" if asked.deep else "names, shapes and types"
            subject = f"{'wrong' if errors else 'sound'} ({depth} checked)"
            report = Report(_SCHEMA, findings, _facts(found), subject)
            tell(report, asked, before=map(output.visible, _about(found, whole=not errors)))
    if asked.format in ("sarif", "github"):
        tell(Report(_SCHEMA, tuple(together), {}), asked)
    return max(codes)


def _verified(path: Path, asked: VerifyOptions) -> Verified | EncoderError:
    """What is in one file, or why it is refused."""
    from tagflow.models.verify import verify

    progress = Progress()
    try:
        with progress.shown():
            show = progress.progress(f"MB of {output.visible(path.name)}")
            return verify(
                path, deep=asked.deep, progress=lambda done, total: show(done // 10**6, total // 10**6)
            )
    except EncoderError as problem:
        return problem


def _placed(report: Verified) -> Iterator[Finding]:
    """The findings with their file, and with the part and the first tensors in what was seen."""
    from tagflow.models.structure import tensors_of

    for one in report.findings:
        part, names = one.figures.get("part"), some(tensors_of(one), _NAMED)
        seen = "; ".join(text for text in (one.detail, names) if text)
        detail = ": ".join(text for text in (str(part or ""), seen) if text)
        yield replace(one, detail=detail).at(file=report.path.as_posix())


def _facts(report: Verified) -> dict[str, Any]:
    spoken = report.prediction
    return {
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
    }


def _about(report: Verified, *, whole: bool) -> Iterator[str]:
    """What a file is, for people."""
    layout = f" in {report.layout} layout" if report.layout else ""
    size = f"{report.size / 10**6:,.1f} MB, {report.tensors:,} tensors"
    complete = "complete SDXL " if report.kind == "checkpoint" and whole else ""
    yield f"{report.path}: {complete}{_KINDS[report.kind]}{layout}, {size}"
    yield f"  sha256      {report.sha256}"
    for part, counts in report.parts.items():
        types = ", ".join(f"{count:,} {dtype}" for dtype, count in counts.items())
        yield f"  {part:<12}{types}"
    if report.prediction is not None:
        evidence = "; ".join(report.prediction.evidence) or "no key and no metadata says it"
        yield f"  prediction  {report.prediction.type} ({evidence})"
    for name, text in report.metadata.items():
        yield f"  metadata    {name} = {text}"
