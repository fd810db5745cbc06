"""Rules about the loss; open it for v-prediction, zero-terminal SNR, noise, timesteps, masks, validation."""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.findings.finding import Finding, Severity, finding
from tagflow.models.prediction import Type, named
from tagflow.training.check.derived import SubsetView, parts
from tagflow.training.check.registry import rule, subset_rule
from tagflow.training.setup.setup import Setup

# Options that do nothing without another one.
_IDLE = {
    "noise_offset_random_strength": "noise_offset",
    "ip_noise_gamma_random_strength": "ip_noise_gamma",
    "multires_noise_discount": "multires_noise_iterations",
}
_HUBER = ("huber_c", "huber_scale", "huber_schedule")
_WEIGHTS = ("min_snr_gamma", "debiased_estimation_loss", "scale_v_pred_loss_like_noise_pred")
_TIMESTEPS = 1000
_VALIDATING = ("validate_every_n_steps", "validate_every_n_epochs", "max_validation_steps", "validation_seed")


_BASE = "pretrained_model_name_or_path"
_NOISE = ("noise_offset", "multires_noise_iterations")


def _hint(setup: Setup) -> tuple[Type, str]:
    """What the base model's own name hints at, or where it is silent the names that its metadata give."""
    own = setup.text(_BASE).replace("\\", "/").rstrip("/").rpartition("/")[2]
    hint, word = named([own])
    if hint == "unknown" and setup.base is not None:
        hint, word = named(setup.base.names)
        own = "its metadata"
    return hint, f"{own} says {word}"


@rule("v-parameterization-named-v", "v-parameterization-named-epsilon", reads=("v_parameterization", _BASE))
def v_parameterization_by_name(setup: Setup) -> Iterator[Finding]:
    """Merges lose their marks, or take over one that was written by habit: epsilon is sd-scripts' default."""
    on, base, option = setup.on("v_parameterization"), setup.base, "v_parameterization"
    hint, said = _hint(setup)
    if hint == "v" and not on and (base is None or base.type != "v"):
        marks = "; ".join(base.evidence) if base is not None else ""
        yield finding("v-parameterization-named-v", f"{said}{marks and f', and {marks}'}", option=option)
    elif hint == "epsilon" and on and (base is None or base.type == "unknown"):
        yield finding("v-parameterization-named-epsilon", said, option=option)


@rule("v-parameterization-unknown", reads=("v_parameterization", _BASE))
def v_parameterization_unknown(setup: Setup) -> Iterator[Finding]:
    base = setup.base
    unknown = base is None or base.type == "unknown"
    if setup.on("v_parameterization") and unknown and _hint(setup)[0] == "unknown":
        why = "the checkpoint was not read" if base is None else "the checkpoint has no mark of either kind"
        yield finding("v-parameterization-unknown", why, option="v_parameterization")


@rule(
    "v-parameterization-disputed",
    "v-parameterization-epsilon",
    "v-parameterization-missing",
    reads=("v_parameterization",),
    needs=("base",),
)
def v_parameterization(setup: Setup) -> Iterator[Finding]:
    """Whether what is trained is what the checkpoint predicts."""
    on, base, option = setup.on("v_parameterization"), setup.base, "v_parameterization"
    if base is None:
        return
    evidence = "; ".join(base.evidence)
    if base.contradicted:
        yield finding("v-parameterization-disputed", evidence, option=option)
    elif on and base.type == "epsilon":
        yield finding("v-parameterization-epsilon", evidence, option=option)
    elif not on and base.type == "v":
        yield finding("v-parameterization-missing", evidence, option=option)


@rule("zero-terminal-snr-epsilon", reads=("zero_terminal_snr", "v_parameterization"))
def zero_terminal_snr_epsilon(setup: Setup) -> Iterator[Finding]:
    if setup.on("zero_terminal_snr") and not setup.on("v_parameterization"):
        yield finding("zero-terminal-snr-epsilon", option="zero_terminal_snr")


@rule(
    "zero-terminal-snr-missing",
    reads=("zero_terminal_snr", "v_parameterization"),
    needs=("base",),
)
def zero_terminal_snr_missing(setup: Setup) -> Iterator[Finding]:
    base = setup.base
    if base is None or setup.on("zero_terminal_snr") or not setup.on("v_parameterization"):
        return
    if base.type == "v" and any("ztsnr" in one or "snr" in one for one in base.evidence):
        yield finding("zero-terminal-snr-missing", "; ".join(base.evidence), option="zero_terminal_snr")


@rule(
    "zero-terminal-snr-weights",
    reads=("zero_terminal_snr", "min_snr_gamma", "debiased_estimation_loss"),
)
def zero_terminal_snr_weights(setup: Setup) -> Iterator[Finding]:
    weighed = setup.number("min_snr_gamma") or setup.on("debiased_estimation_loss")
    if setup.on("zero_terminal_snr") and weighed:
        yield finding("zero-terminal-snr-weights", option="zero_terminal_snr")


@rule("noise-with-v", reads=("v_parameterization", "zero_terminal_snr", _BASE, *_NOISE))
def noise_with_v(setup: Setup) -> Iterator[Finding]:
    """What the offset is for, zero-terminal SNR does better; both together are too much of it."""
    is_v = (setup.base is not None and setup.base.type == "v") or _hint(setup)[0] == "v"
    ends, v = setup.on("zero_terminal_snr"), setup.on("v_parameterization") and is_v
    for name in _NOISE:
        if setup.number(name) and (ends or v):
            with_what = "zero_terminal_snr" if ends else "v_parameterization"
            detail = f"{name} {setup.number(name):g} with {with_what}"
            severity: Severity | None = None if ends else "info"
            yield finding("noise-with-v", detail, option=name, severity=severity)


@rule(
    "v-loss-scaled-without-v",
    "v-like-loss-with-v",
    reads=("scale_v_pred_loss_like_noise_pred", "v_pred_like_loss", "v_parameterization"),
)
def v_loss(setup: Setup) -> Iterator[Finding]:
    """What the trainer's first check refuses of the one loss with the other."""
    v = setup.on("v_parameterization")
    if setup.on("scale_v_pred_loss_like_noise_pred") and not v:
        yield finding("v-loss-scaled-without-v", option="scale_v_pred_loss_like_noise_pred")
    if setup.number("v_pred_like_loss") and v:
        yield finding("v-like-loss-with-v", option="v_pred_like_loss")


@rule("adaptive-noise-without-offset", reads=("adaptive_noise_scale", "noise_offset"))
def adaptive_noise(setup: Setup) -> Iterator[Finding]:
    if setup.values.get("adaptive_noise_scale") is not None and setup.values.get("noise_offset") is None:
        yield finding("adaptive-noise-without-offset", option="adaptive_noise_scale")


@rule("loss-weights-stacked", reads=_WEIGHTS)
def loss_weights_stacked(setup: Setup) -> Iterator[Finding]:
    found = [name for name in _WEIGHTS if setup.on(name)]
    if len(found) > 1:
        yield finding("loss-weights-stacked", ", ".join(found), option=found[0])


@rule("huber-idle", reads=("loss_type", *_HUBER))
def huber_idle(setup: Setup) -> Iterator[Finding]:
    idle = [name for name in _HUBER if setup.moved(name)]
    if idle and setup.text("loss_type") not in ("huber", "smooth_l1"):
        yield finding("huber-idle", ", ".join(idle), option="loss_type")


@rule("noise-twice", reads=("noise_offset", "multires_noise_iterations"))
def noise_twice(setup: Setup) -> Iterator[Finding]:
    if setup.number("noise_offset") and setup.number("multires_noise_iterations"):
        yield finding("noise-twice", option="multires_noise_iterations")


@rule("noise-option-idle", reads=(*_IDLE, *_IDLE.values()))
def noise_option_idle(setup: Setup) -> Iterator[Finding]:
    for name, needed in _IDLE.items():
        if setup.moved(name) and setup.values.get(name) and not setup.number(needed):
            yield finding("noise-option-idle", f"{name} needs {needed}", option=name)


@rule("timesteps-range", reads=("min_timestep", "max_timestep"))
def timesteps_range(setup: Setup) -> Iterator[Finding]:
    low, high = setup.values.get("min_timestep"), setup.values.get("max_timestep")
    if low is None and high is None:
        return
    first = 0 if low is None else setup.number("min_timestep")
    last = _TIMESTEPS if high is None else setup.number("max_timestep")
    if not 0 <= first < last <= _TIMESTEPS:
        yield finding("timesteps-range", f"from {first:g} to {last:g}", option="min_timestep")


@rule("masked-loss-without-masks", reads=("masked_loss", "alpha_mask"), needs=("dataset",))
def masked_loss(setup: Setup) -> Iterator[Finding]:
    masked = any(part.on("alpha_mask") or part.subset.kind == "controlnet" for part in parts(setup))
    if setup.on("masked_loss") and not masked and not setup.on("alpha_mask"):
        yield finding("masked-loss-without-masks", option="masked_loss")


@subset_rule("validation-split-range", reads=("validation_split",))
def validation_split(part: SubsetView) -> Iterator[Finding]:
    if not 0 <= part.number("validation_split") <= 1:
        yield finding("validation-split-range", option="validation_split")


@rule("validation-idle", reads=("validation_split", *_VALIDATING), needs=("dataset",))
def validation_idle(setup: Setup) -> Iterator[Finding]:
    idle = [name for name in _VALIDATING if setup.moved(name)]
    if idle and not any(part.number("validation_split") for part in parts(setup)):
        yield finding("validation-idle", ", ".join(idle), option=idle[0])
