"""What is predicted, how noise is made, and how the loss is weighed."""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.training.faults import Fault
from tagflow.training.rules.derived import parts
from tagflow.training.setup import Setup

# Options that do nothing without another one.
_IDLE = {
    "noise_offset_random_strength": "noise_offset",
    "ip_noise_gamma_random_strength": "ip_noise_gamma",
    "multires_noise_discount": "multires_noise_iterations",
}
_HUBER = ("huber_c", "huber_scale", "huber_schedule")
_TIMESTEPS = 1000


def faults(setup: Setup) -> Iterator[Fault]:
    """Everything about the loss."""
    yield from _prediction(setup)
    yield from _terminal_snr(setup)
    yield from _refused(setup)
    yield from _weights(setup)
    yield from _noise(setup)
    yield from _masks(setup)


def _prediction(setup: Setup) -> Iterator[Fault]:
    on, base, option = setup.on("v_parameterization"), setup.base, "v_parameterization"
    evidence = "; ".join(base.evidence) if base else ""
    if base is not None and base.contradicted:
        yield Fault("v-parameterization-disputed", evidence, option)
    elif on and (base is None or base.type == "unknown"):
        why = "the checkpoint was not read" if base is None else "the checkpoint has no mark of either kind"
        yield Fault("v-parameterization-unknown", why, option)
    elif on and base is not None and base.type == "epsilon":
        yield Fault("v-parameterization-epsilon", evidence, option)
    elif not on and base is not None and base.type == "v":
        yield Fault("v-parameterization-missing", evidence, option)


def _terminal_snr(setup: Setup) -> Iterator[Fault]:
    on, option = setup.on("zero_terminal_snr"), "zero_terminal_snr"
    if on and not setup.on("v_parameterization"):
        yield Fault("zero-terminal-snr-epsilon", "", option)
    marked = setup.base is not None and any("ztsnr" in one or "snr" in one for one in setup.base.evidence)
    if not on and setup.on("v_parameterization") and marked and setup.base and setup.base.type == "v":
        yield Fault("zero-terminal-snr-missing", "; ".join(setup.base.evidence), option)
    if on and (setup.number("min_snr_gamma") or setup.on("debiased_estimation_loss")):
        yield Fault("zero-terminal-snr-weights", "", option)


def _refused(setup: Setup) -> Iterator[Fault]:
    """What the trainer's first check refuses."""
    v = setup.on("v_parameterization")
    if setup.on("scale_v_pred_loss_like_noise_pred") and not v:
        yield Fault("v-loss-scaled-without-v", "", "scale_v_pred_loss_like_noise_pred")
    if setup.number("v_pred_like_loss") and v:
        yield Fault("v-like-loss-with-v", "", "v_pred_like_loss")
    if setup.values.get("adaptive_noise_scale") is not None and setup.values.get("noise_offset") is None:
        yield Fault("adaptive-noise-without-offset", "", "adaptive_noise_scale")


def _weights(setup: Setup) -> Iterator[Fault]:
    weights = ("min_snr_gamma", "debiased_estimation_loss", "scale_v_pred_loss_like_noise_pred")
    found = [name for name in weights if setup.on(name)]
    if len(found) > 1:
        yield Fault("loss-weights-stacked", ", ".join(found), found[0])
    idle = [name for name in _HUBER if name in setup.given]
    if idle and setup.text("loss_type") not in ("huber", "smooth_l1"):
        yield Fault("huber-idle", ", ".join(idle), "loss_type")


def _noise(setup: Setup) -> Iterator[Fault]:
    if setup.number("noise_offset") and setup.number("multires_noise_iterations"):
        yield Fault("noise-twice", "", "multires_noise_iterations")
    for name, needed in _IDLE.items():
        if name in setup.given and setup.values.get(name) and not setup.number(needed):
            yield Fault("noise-option-idle", f"{name} needs {needed}", name)
    low, high = setup.values.get("min_timestep"), setup.values.get("max_timestep")
    if low is None and high is None:
        return
    first = 0 if low is None else setup.number("min_timestep")
    last = _TIMESTEPS if high is None else setup.number("max_timestep")
    if not 0 <= first < last <= _TIMESTEPS:
        yield Fault("timesteps-range", f"from {first:g} to {last:g}", "min_timestep")


def _masks(setup: Setup) -> Iterator[Fault]:
    found = parts(setup)
    masked = any(part.on("alpha_mask") or part.subset.kind == "controlnet" for part in found)
    if setup.on("masked_loss") and found and not masked and not setup.on("alpha_mask"):
        yield Fault("masked-loss-without-masks", "", "masked_loss")
