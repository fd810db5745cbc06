"""`tagflow models verify` and `compare`; open it for what is said of a model file, or of a difference.

The files are looked at in models/, the encoders compared in encoders/compare.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import click

from tagflow.cli import output
from tagflow.cli.boundary import say_error
from tagflow.cli.findings import FindingOptions, Report, chosen, exit_code, finding_options, tell
from tagflow.cli.help import Commands, command
from tagflow.cli.options import FOLDER, collected
from tagflow.cli.output import Progress
from tagflow.errors import DONE, FINDINGS, EncoderError
from tagflow.findings.finding import Finding
from tagflow.findings.wording import some

if TYPE_CHECKING:
    from tagflow.encoders.compare import Comparison
    from tagflow.models.verify import Report as Verified


_SCHEMA = "tagflow.models/2"
_NAMED = 5  # tensors that a detail names; the figures have them all
_KINDS = {"checkpoint": "checkpoint", "vae": "VAE", "other": "no SDXL model"}


class ModelCommands(Commands):
    """The commands on model files."""

    sections: ClassVar = {
        "Commands": {
            "verify": ("models", "verify_models", "Verify SDXL checkpoints and VAEs, and give their sha256."),
            "compare": ("models", "compare_models", "Compare both encoders with the libraries'."),
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
            spoken = found.prediction
            facts = {
                "path": str(found.path),
                "kind": found.kind,
                "layout": found.layout,
                "bytes": found.size,
                "sha256": found.sha256,
                "tensors": found.tensors,
                "parts": found.parts,
                "prediction": spoken and {"type": spoken.type, "evidence": list(spoken.evidence)},
                "metadata": found.metadata,
                "deep": found.deep,
            }
            errors = any(one.severity == "error" for one in found.findings)
            depth = "names, shapes, types and values" if asked.deep else "names, shapes and types"
            subject = f"{'wrong' if errors else 'sound'} ({depth} checked)"
            report = Report(_SCHEMA, findings, facts, subject)
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


_COMPARE_SCHEMA = "tagflow.models-compare/1"
_QUANTITIES = {"pooled": "pooled", "hidden": "hidden states", "similarity": "similarities"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """What `tagflow models compare` was asked. `tolerance`: of the largest value; None: by the dtype."""

    spec: str
    device: str
    dtype: str
    tolerance: float | None
    as_json: bool


@command("compare")
@click.argument("spec")
@click.option(
    "--device", metavar="auto|cpu|cuda[:N]", default="auto", help="Default: auto, a GPU or else a CPU."
)
@click.option(
    "--dtype",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    help="What both sides compute in. Default: fp32.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    metavar="X",
    help="How far apart they may be, of the largest value. Default: 1e-4 in fp32, else 2e-2.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@collected(CompareOptions)
def compare_models(asked: CompareOptions) -> int:
    """Compute a fixed set of captions with our text encoders and with the libraries that others use.

    SPEC is a .safetensors checkpoint, a diffusers folder or a hub id, as for --encoders. te1 goes through
    transformers, te2 through open_clip, with the weights of SPEC, here and in the same dtype. Exit code: 1
    where a difference is larger than the tolerance.
    """
    from tagflow.encoders.compare import compare

    bars = Progress()
    with bars.shown():
        found = compare(asked.spec, asked.device, asked.dtype, asked.tolerance, bars.progress)
    equal = not any(found.is_beyond(one) for encoder in found.encoders for one in encoder.differences)
    if asked.as_json:
        told = asdict(found)
        for encoder, said in zip(found.encoders, told["encoders"], strict=True):
            for difference, row in zip(encoder.differences, said["differences"], strict=True):
                row["within"] = not found.is_beyond(difference)
        output.as_json({"schema": _COMPARE_SCHEMA, **told, "equal": equal})
    else:
        output.out_lines(map(output.visible, _lines(found)))
    return DONE if equal else FINDINGS


def _lines(found: Comparison) -> Iterator[str]:
    yield f"{found.source}: {found.captions} captions in {found.dtype} on {found.device}"
    beyond = []
    for encoder in found.encoders:
        yield f"  {encoder.encoder} beside {encoder.library}, {encoder.windows} windows"
        for one in encoder.differences:
            name = _QUANTITIES[one.quantity]
            apart = f"largest difference {one.absolute:.1e}, {one.relative:.1e} of the largest value"
            yield f"    {name:<15}{apart} ({one.caption})"
            if found.is_beyond(one):
                beyond.append(f"{encoder.encoder}'s {name}")
    if beyond:
        yield f"  different      {', '.join(beyond)}: further apart than {found.tolerance:g}"
    else:
        yield f"  equal          nothing is further apart than {found.tolerance:g}"
