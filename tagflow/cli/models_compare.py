"""`tagflow models compare`: our encoders beside transformers and open_clip, on the user's own checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from tagflow.cli import output
from tagflow.cli.help import command
from tagflow.cli.options import collected
from tagflow.cli.output import Progress
from tagflow.errors import DONE, FINDINGS

if TYPE_CHECKING:
    from tagflow.encoders.compare import Comparison

_SCHEMA = "tagflow.models-compare/1"
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
        output.as_json({"schema": _SCHEMA, **told, "equal": equal})
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
