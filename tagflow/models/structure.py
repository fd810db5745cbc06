"""A model file's header held against SDXL's tensors; open it for what a file may carry without harm.

`sdxl_keys.txt` beside it is read off SDXL's model classes. A stand-alone VAE may leave its prefix out, as for
sd-scripts. That the trainer refuses what is missing or extra inside the U-Net, te1 and the VAE, and passes
over everything beside the four parts, was read in sd-scripts 0.10.1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Literal

from tagflow.encoders.locate import other_family, other_model
from tagflow.files.safetensors import Entry
from tagflow.findings.finding import Finding, finding

Shapes = dict[str, tuple[int, ...]]
PARTS = {
    "unet": "model.diffusion_model.",
    "te1": "conditioner.embedders.0.transformer.text_model.",
    "te2": "conditioner.embedders.1.model.",
    "vae": "first_stage_model.",
}
"""The parts of a checkpoint and what their tensors' names begin with."""

# Where two names are of the same tensor: the sd-scripts loader takes either.
ALIASES = {f"{PARTS['te2']}text_projection.weight": f"{PARTS['te2']}text_projection"}
# CLIP's temperature, which nothing but CLIP's own training uses; sd-scripts sets it aside.
OPTIONAL = {f"{PARTS['te2']}logit_scale"}
# Extra tensors that published files carry: (what the whole name looks like, why it is there).
KNOWN_EXTRAS = (
    (r"conditioner\.embedders\.[01]\..*position_ids", "the numbers 0 to 76, which older transformers saved"),
    (r"v_pred|ztsnr|edm_vpred\.sigma_(max|min)", "a mark that says how the model predicts"),
    (r"(first_stage_model\.)?model_ema\..*", "a second, averaged copy of the weights; it takes only space"),
    (r"denoiser\.sigmas", "the noise schedule of the program that trained the model"),
    (
        r"betas|logvar|(log_|sqrt_)?(one_minus_|recip_|recipm1_)?alphas_cumprod(_prev)?|posterior_\w+",
        "the noise schedule, which every program computes itself",
    ),
    (r"edm_(mean|std)", "mean and deviation of the latents of an EDM model, such as Playground v2.5"),
    (r"first_stage_model\.loss\..*", "what the VAE's own training needed"),
)  # fmt: skip


@cache
def sdxl_shapes() -> Mapping[str, tuple[int, ...]]:
    """Return the shape of every tensor of a complete SDXL checkpoint, by name (2,514 of them)."""
    text = files("tagflow.models").joinpath("sdxl_keys.txt").read_text(encoding="utf-8")
    shapes: Shapes = {}
    prefix = ""
    for line in text.splitlines():
        name, _, shape = line.partition(" ")
        if line.startswith("["):
            prefix = shape.rstrip("]")
        elif not line.startswith("#"):
            sizes = () if shape == "scalar" else map(int, shape.split("x"))
            shapes[prefix + name] = tuple(sizes)
    return shapes


def vae_shapes() -> Shapes:
    """Return the shapes of SDXL's VAE by name, with the prefix that they have in a checkpoint."""
    return {name: shape for name, shape in sdxl_shapes().items() if part_of(name) == "vae"}


def part_of(name: str) -> str | None:
    """Return the part that a tensor belongs to by its name, or None beside the four."""
    return next((part for part, prefix in PARTS.items() if name.startswith(prefix)), None)


def why_known(name: str) -> str | None:
    """Return why an extra tensor does no harm, or None where that is not known."""
    return next((why for pattern, why in KNOWN_EXTRAS if re.fullmatch(pattern, name)), None)


Kind = Literal["checkpoint", "vae", "other"]
Entries = Mapping[str, Entry]
WEIGHTS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
_DIFFUSERS_VAE = re.compile(r"(first_stage_model\.)?(encoder|decoder)\.(down_blocks|up_blocks|mid_block)\.")
_VAE = PARTS["vae"]


@dataclass(frozen=True, slots=True)
class Structure:
    """What a file is by its header.

    `parts`: how many tensors of each type a part has, for the parts that are there. `layout` is that of a
    VAE: `original`, or `diffusers`, whose names are not compared.
    """

    kind: Kind
    layout: str | None
    parts: dict[str, dict[str, int]]
    findings: tuple[Finding, ...]


def structure(entries: Entries) -> Structure:
    """Return what a file with these tensors is, and every finding that its header gives."""
    kind = _kind(entries)
    if kind == "other":
        what = other_family(entries) or other_model(entries)
        return Structure("other", None, {}, (model_finding("model-other", None, what),))
    if kind == "checkpoint":
        return Structure(kind, None, _types(entries), tuple(_compared(entries, sdxl_shapes())))
    named = _with_prefix(entries)
    if any(_DIFFUSERS_VAE.match(name) for name in entries):
        return Structure(kind, "diffusers", _types(named), (model_finding("vae-diffusers", "vae"),))
    findings = list(_compared(named, vae_shapes()))
    if named is not entries:
        findings = [  # with names as the file has them
            replace(
                one,
                detail=one.detail.replace(_VAE, ""),
                figures={**one.figures, "tensors": [name.removeprefix(_VAE) for name in tensors_of(one)]},
            )
            for one in findings
        ]
    findings.append(model_finding("vae-family-unseen", "vae"))
    return Structure(kind, "original", _types(named), tuple(findings))


def model_finding(
    code: str, part: str | None = None, detail: str = "", tensors: Iterable[str] = ()
) -> Finding:
    """A finding in a part of a model file (`unet`, `te1`, `te2`, `vae`), about these tensors of it."""
    return finding(code, detail, figures={"part": part, "tensors": list(tensors)})


def tensors_of(found: Finding) -> list[str]:
    """The tensors that a finding in a model file is about, as the file names them."""
    return [str(name) for name in names] if isinstance(names := found.figures.get("tensors"), list) else []


def _kind(entries: Entries) -> Kind:
    """A checkpoint by its U-Net or text encoders, another family by its marks, a VAE by its names."""
    there = {part_of(name) for name in entries}
    if {"unet", "te1", "te2"} <= there:
        return "checkpoint"
    if other_family(entries):
        return "other"
    if there & {"unet", "te1", "te2"}:
        return "checkpoint"
    # One tensor of the VAE's is not enough: other autoencoders have an `encoder.conv_in`, too.
    named = _with_prefix(entries)
    known = sum(name in named for name in vae_shapes())
    if known > len(vae_shapes()) // 2 or any(_DIFFUSERS_VAE.match(name) for name in entries):
        return "vae"
    return "vae" if "vae" in there else "other"


def _with_prefix(entries: Entries) -> Entries:
    """A VAE's tensors by a checkpoint's names. If one has the prefix, only those with it are the VAE's."""
    if any(name.startswith(_VAE) for name in entries):
        return entries
    return {_VAE + name: entry for name, entry in entries.items()}


def _types(entries: Entries) -> dict[str, dict[str, int]]:
    counts = {
        part: Counter(entry.dtype for name, entry in entries.items() if part_of(name) == part)
        for part in PARTS
    }
    return {part: dict(count.most_common()) for part, count in counts.items() if count}


def _compared(entries: Entries, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Finding]:
    """The findings of a file whose tensors should be `shapes`, part by part in a fixed order."""
    found = {ALIASES.get(name, name): entry for name, entry in entries.items()}
    missing = [name for name in shapes if name not in found]
    yield from _by_part("tensor-missing", [name for name in missing if name not in OPTIONAL], shapes)
    yield from _by_part("tensor-optional-missing", [name for name in missing if name in OPTIONAL], shapes)
    shared = {name: found[name] for name in shapes if name in found}
    wrong = [name for name, entry in shared.items() if entry.shape != shapes[name]]
    for part, group in groupby(wrong, part_of):
        names = tuple(group)
        first = f"{names[0]} is {_sizes(shared[names[0]].shape)}, not {_sizes(shapes[names[0]])}"
        yield model_finding("tensor-shape", part, first, (shared[name].key for name in names))
    yield from _extras({name: entry for name, entry in found.items() if name not in shapes})
    yield from _wrong_types(shared)


def _by_part(code: str, names: list[str], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Finding]:
    for part, group in groupby(names, part_of):
        gone = tuple(group)
        whole = sum(part_of(name) == part and name not in OPTIONAL for name in shapes)
        detail = "all of them" if len(gone) == whole else f"{len(gone)} of {whole:,}"
        yield model_finding(code, part, detail, gone)


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _extras(extra: Entries) -> Iterator[Finding]:
    """Extra tensors, gathered by code, part and reason."""
    gathered: dict[tuple[str, str | None, str], list[str]] = {}
    for name, entry in extra.items():
        why, part = why_known(name), part_of(name)
        code = "tensor-extra-known" if why else "tensor-extra" if part else "tensor-extra-outside"
        gathered.setdefault((code, part, why or ""), []).append(entry.key)
    for (code, part, why), names in gathered.items():
        yield model_finding(code, part, why, names)


def _wrong_types(shared: Entries) -> Iterator[Finding]:
    """Weights that are no numbers to compute with, and types that are mixed: in a part, or between parts."""
    types = _types(shared)
    for part, counts in types.items():
        odd = [e.key for n, e in shared.items() if part_of(n) == part and e.dtype not in WEIGHTS]
        if odd:
            yield model_finding("tensor-dtype", part, _listed(counts), odd)
        if len(counts) > 1:
            usual = next(iter(counts))
            rest = tuple(e.key for n, e in shared.items() if part_of(n) == part and e.dtype != usual)
            yield model_finding("dtype-mixed", part, _listed(counts), rest)
    if len({next(iter(counts)) for counts in types.values()}) > 1:
        detail = ", ".join(f"{part} {next(iter(counts))}" for part, counts in types.items())
        yield model_finding("dtype-parts", None, detail)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {dtype}" for dtype, count in counts.items())
