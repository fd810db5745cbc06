"""What SDXL's tensors are called and which shapes they have, and what else files carry without harm.

`sdxl_keys.txt` is read off SDXL's model classes. That the trainer refuses what is missing or extra inside the
U-Net, te1 and the VAE, and passes over everything beside the four parts, was read in sd-scripts 0.10.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

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
