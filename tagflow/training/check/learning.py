"""Steps, warm-up and schedulers: what runs how long, and at which rate.

What is predicted, how noise is made, and how the loss is weighed.

Optimizers and learning rates.
"""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import (
    adapts,
    arguments,
    caches_text,
    optimizer,
    parts,
    share,
    steps,
    trains_text,
    trains_unet,
    words,
)
from tagflow.training.sd_scripts.optimizers import OWN, TORCH
from tagflow.training.setup.setup import Setup

_TAKEN = (
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup",
    "inverse_sqrt", "cosine_with_min_lr", "warmup_stable_decay", "piecewise_constant",
)  # fmt: skip
# Known to transformers, but sd-scripts hands them arguments that they do not take.
_BROKEN = ("reduce_lr_on_plateau", "cosine_warmup_with_min_lr")
_NO_WARMUP = ("constant",)
# Which schedulers read an option; the others pass it over.
_READ_BY = {
    "lr_scheduler_num_cycles": ("cosine_with_restarts", "cosine_with_min_lr", "warmup_stable_decay"),
    "lr_scheduler_power": ("polynomial",),
    "lr_scheduler_timescale": ("inverse_sqrt",),
    "lr_scheduler_min_lr_ratio": ("cosine_with_min_lr", "warmup_stable_decay"),
    "lr_decay_steps": ("warmup_stable_decay",),
}
_LONG = 0.25  # of all steps


def faults(setup: Setup) -> Iterator[Finding]:
    """Everything about steps and schedules."""
    yield from _steps(setup)
    if optimizer(setup).endswith("schedulefree"):
        yield from _schedule_free(setup)
        return
    if _relative(setup):
        yield from _adafactor(setup)
        return
    yield from _warmup(setup)
    if not setup.text("lr_scheduler_type"):
        yield from _scheduler(setup)
    yield from _arguments(setup)


def _steps(setup: Setup) -> Iterator[Finding]:
    epochs, count = "max_train_epochs" in setup.given, "max_train_steps" in setup.given
    if not epochs and not count:
        yield finding("steps-default", option="max_train_steps")
    if epochs and count and setup.number("max_train_epochs"):
        yield finding("steps-and-epochs", option="max_train_steps")
    first, total = setup.number("initial_step"), steps(setup)
    if total and first >= total:
        yield finding("initial-step-beyond", f"{first:g} of {total}", option="initial_step")
    started = [name for name in ("initial_step", "initial_epoch") if name in setup.given]
    if started and not setup.text("resume") and not setup.text("network_weights"):
        yield finding("initial-without-resume", option=started[0])
    if setup.values.get("seed") is None:
        yield finding("seed-missing", option="seed")


def _warmup(setup: Setup) -> Iterator[Finding]:
    option, name = "lr_warmup_steps", setup.text("lr_scheduler")
    if not setup.number(option):
        return
    custom = setup.text("lr_scheduler_type")
    if custom or name in _NO_WARMUP or name.startswith("adafactor"):
        yield finding("scheduler-warmup", custom or name, option=option)
        return
    part, total = share(setup, option), steps(setup)
    of = f" of {total} steps" if total else ""
    if part is not None and part >= 1:
        yield finding("warmup-beyond", f"{setup.number(option):g}{of}", option=option)
    elif part is not None and part > _LONG:
        yield finding("warmup-long", f"{part:.0%}{of}", option=option)


def _scheduler(setup: Setup) -> Iterator[Finding]:
    name, option = setup.text("lr_scheduler"), "lr_scheduler"
    given = arguments(setup, "lr_scheduler_args").keys()
    if name.startswith("adafactor"):
        if optimizer(setup) != "adafactor" or ":" not in name:
            yield finding("scheduler-adafactor", f"{name} with {optimizer(setup)}", option=option)
    elif name in _BROKEN:
        yield finding("scheduler-unusable", name, option=option)
    elif name not in _TAKEN:
        near = ", ".join(one for one in _TAKEN if one.startswith(name[:4].lower()))
        yield finding("scheduler-unknown", name + (f"; there are {near}" if near else ""), option=option)
    ratio = setup.values.get("lr_scheduler_min_lr_ratio")
    if name == "cosine_with_min_lr" and ratio is None and not given & {"min_lr", "min_lr_rate"}:
        yield finding("scheduler-argument-missing", f"{name}: lr_scheduler_min_lr_ratio", option=option)
    if name == "piecewise_constant" and "step_rules" not in given:
        yield finding("scheduler-argument-missing", f"{name}: step_rules", option=option)
    for one, readers in _READ_BY.items():
        if one in setup.given and name in _TAKEN and name not in readers:
            yield finding("scheduler-option-idle", f"{one} with {name}", option=one)


def _arguments(setup: Setup) -> Iterator[Finding]:
    good = arguments(setup, "lr_scheduler_args")
    for word in words(setup, "lr_scheduler_args"):
        if word.count("=") != 1 or word.partition("=")[0] not in good:
            yield finding("scheduler-args-form", word, option="lr_scheduler_args")


def _schedule_free(setup: Setup) -> Iterator[Finding]:
    given = [name for name in ("lr_scheduler", "lr_scheduler_type", "lr_warmup_steps") if name in setup.given]
    said = [name for name in given if setup.values.get(name) not in (0, "constant", "")]
    if said:
        yield finding("schedule-free", ", ".join(said), option=said[0])


def _relative(setup: Setup) -> bool:
    """Whether Adafactor sets its own rate, as it does unless it is told not to."""
    given = arguments(setup, "optimizer_args")
    asked = given.get("relative_step", True) or given.get("warmup_init")
    return optimizer(setup) == "adafactor" and bool(asked)


def _adafactor(setup: Setup) -> Iterator[Finding]:
    """Its own scheduler is put in the place of any other; that takes no warm-up."""
    if setup.number("lr_warmup_steps"):
        yield finding("scheduler-warmup", "the one of Adafactor with relative_step", option="lr_warmup_steps")
    said = [name for name in ("unet_lr", "text_encoder_lr", "lr_scheduler") if name in setup.given]
    if said:
        yield finding("adafactor-relative", ", ".join(said), option="optimizer_type")


# Options that do nothing without another one.
_IDLE = {
    "noise_offset_random_strength": "noise_offset",
    "ip_noise_gamma_random_strength": "ip_noise_gamma",
    "multires_noise_discount": "multires_noise_iterations",
}
_HUBER = ("huber_c", "huber_scale", "huber_schedule")
_TIMESTEPS = 1000


def loss_faults(setup: Setup) -> Iterator[Finding]:
    """Everything about the loss."""
    yield from _prediction(setup)
    yield from _terminal_snr(setup)
    yield from _refused(setup)
    yield from _weights(setup)
    yield from _noise(setup)
    yield from _masks(setup)


def _prediction(setup: Setup) -> Iterator[Finding]:
    on, base, option = setup.on("v_parameterization"), setup.base, "v_parameterization"
    evidence = "; ".join(base.evidence) if base else ""
    if base is not None and base.contradicted:
        yield finding("v-parameterization-disputed", evidence, option=option)
    elif on and (base is None or base.type == "unknown"):
        why = "the checkpoint was not read" if base is None else "the checkpoint has no mark of either kind"
        yield finding("v-parameterization-unknown", why, option=option)
    elif on and base is not None and base.type == "epsilon":
        yield finding("v-parameterization-epsilon", evidence, option=option)
    elif not on and base is not None and base.type == "v":
        yield finding("v-parameterization-missing", evidence, option=option)


def _terminal_snr(setup: Setup) -> Iterator[Finding]:
    on, option = setup.on("zero_terminal_snr"), "zero_terminal_snr"
    if on and not setup.on("v_parameterization"):
        yield finding("zero-terminal-snr-epsilon", option=option)
    marked = setup.base is not None and any("ztsnr" in one or "snr" in one for one in setup.base.evidence)
    if not on and setup.on("v_parameterization") and marked and setup.base and setup.base.type == "v":
        yield finding("zero-terminal-snr-missing", "; ".join(setup.base.evidence), option=option)
    if on and (setup.number("min_snr_gamma") or setup.on("debiased_estimation_loss")):
        yield finding("zero-terminal-snr-weights", option=option)


def _refused(setup: Setup) -> Iterator[Finding]:
    """What the trainer's first check refuses."""
    v = setup.on("v_parameterization")
    if setup.on("scale_v_pred_loss_like_noise_pred") and not v:
        yield finding("v-loss-scaled-without-v", option="scale_v_pred_loss_like_noise_pred")
    if setup.number("v_pred_like_loss") and v:
        yield finding("v-like-loss-with-v", option="v_pred_like_loss")
    if setup.values.get("adaptive_noise_scale") is not None and setup.values.get("noise_offset") is None:
        yield finding("adaptive-noise-without-offset", option="adaptive_noise_scale")


def _weights(setup: Setup) -> Iterator[Finding]:
    weights = ("min_snr_gamma", "debiased_estimation_loss", "scale_v_pred_loss_like_noise_pred")
    found = [name for name in weights if setup.on(name)]
    if len(found) > 1:
        yield finding("loss-weights-stacked", ", ".join(found), option=found[0])
    idle = [name for name in _HUBER if name in setup.given]
    if idle and setup.text("loss_type") not in ("huber", "smooth_l1"):
        yield finding("huber-idle", ", ".join(idle), option="loss_type")


def _noise(setup: Setup) -> Iterator[Finding]:
    if setup.number("noise_offset") and setup.number("multires_noise_iterations"):
        yield finding("noise-twice", option="multires_noise_iterations")
    for name, needed in _IDLE.items():
        if name in setup.given and setup.values.get(name) and not setup.number(needed):
            yield finding("noise-option-idle", f"{name} needs {needed}", option=name)
    low, high = setup.values.get("min_timestep"), setup.values.get("max_timestep")
    if low is None and high is None:
        return
    first = 0 if low is None else setup.number("min_timestep")
    last = _TIMESTEPS if high is None else setup.number("max_timestep")
    if not 0 <= first < last <= _TIMESTEPS:
        yield finding("timesteps-range", f"from {first:g} to {last:g}", option="min_timestep")


def _masks(setup: Setup) -> Iterator[Finding]:
    found = parts(setup)
    masked = any(part.on("alpha_mask") or part.subset.kind == "controlnet" for part in found)
    if setup.on("masked_loss") and found and not masked and not setup.on("alpha_mask"):
        yield finding("masked-loss-without-masks", option="masked_loss")


_HIGH, _LOW = 0.01, 0.1


def rate_faults(setup: Setup) -> Iterator[Finding]:
    """Everything about optimizers and rates."""
    yield from _optimizer(setup)
    yield from _rate_arguments(setup)
    yield from _text_rate(setup)
    if adapts(setup):
        yield from _adapting(setup)
    elif optimizer(setup) != "adafactor":
        yield from _plain(setup)
    yield from _zero(setup)


def _optimizer(setup: Setup) -> Iterator[Finding]:
    said = setup.text("optimizer_type")
    both = [name for name in ("use_8bit_adam", "use_lion_optimizer") if setup.on(name)]
    if len(both) > 1 or (both and said):
        yield finding(
            "optimizer-twice", ", ".join([*both, *[f"optimizer_type {said}"][: bool(said)]]), option=both[0]
        )
    if said and "." not in said and said.lower() not in OWN and said not in TORCH:
        near = [name for name in (*TORCH, "AdamW8bit") if name.lower() == said.lower()]
        meant = f"; did you mean {near[0]}?" if near else ""
        yield finding("optimizer-unknown", said + meant, option="optimizer_type")


def _rate_arguments(setup: Setup) -> Iterator[Finding]:
    good = arguments(setup, "optimizer_args")
    for word in words(setup, "optimizer_args"):
        if word.count("=") != 1 or word.partition("=")[0] not in good:
            yield finding("optimizer-args-form", word, option="optimizer_args")


def _text_rate(setup: Setup) -> Iterator[Finding]:
    rate, option = setup.values.get("text_encoder_lr"), "text_encoder_lr"
    if isinstance(rate, list) and len(rate) > 1 and _is_lora(setup):
        yield finding("text-encoder-lr-several", " ".join(f"{one:g}" for one in rate), option=option)
    if option in setup.given and not trains_text(setup):
        yield finding("text-encoder-lr-idle", option=option)
    if rate is None and trains_text(setup) and not caches_text(setup) and "unet_lr" in setup.given:
        yield finding("text-encoder-lr-inherited", f"{setup.number('learning_rate'):g}", option=option)


def _is_lora(setup: Setup) -> bool:
    return setup.text("network_module") in ("networks.lora", "networks.lora_fa", "networks.dylora", "")


def rates(setup: Setup) -> dict[str, float]:
    """The rate of each part that is trained, as sd-scripts takes it: its own, else `learning_rate`."""
    found: dict[str, float] = {}
    if trains_text(setup):
        own = setup.values.get("text_encoder_lr")
        first = own[0] if isinstance(own, list) and own else own
        found["text_encoder_lr"] = _or_default(setup, first)
    if trains_unet(setup):
        found["unet_lr"] = _or_default(setup, setup.values.get("unet_lr"))
    return found


def _or_default(setup: Setup, value: object) -> float:
    return float(value) if isinstance(value, int | float) else setup.number("learning_rate")


def _plain(setup: Setup) -> Iterator[Finding]:
    own = {name: rate for name, rate in rates(setup).items() if rate}
    unset = [name for name in own if name not in setup.given]
    if unset and "learning_rate" not in setup.given:
        yield finding("learning-rate-default", f"for {', '.join(unset)}", option="learning_rate")
    high = {name: rate for name, rate in own.items() if rate >= _HIGH}
    if high and optimizer(setup) != "sgdnesterov":
        said = ", ".join(f"{name} {rate:g}" for name, rate in high.items())
        yield finding("learning-rate-high", f"{said} with {optimizer(setup)}", option=next(iter(high)))


def _adapting(setup: Setup) -> Iterator[Finding]:
    found = {name: rate for name, rate in rates(setup).items() if rate}
    low = {name: rate for name, rate in found.items() if rate <= _LOW}
    if low:
        said = ", ".join(f"{name} {rate:g}" for name, rate in low.items())
        yield finding("adaptive-rate-low", f"{said} with {optimizer(setup)}", option="learning_rate")
    if len(set(found.values())) > 1:
        yield finding("adaptive-rates-several", ", ".join(found), option="unet_lr")


def _zero(setup: Setup) -> Iterator[Finding]:
    found = rates(setup)
    zero = [name for name, rate in found.items() if not rate]
    if not any(found.values()):
        why = ", ".join(f"{name} 0" for name in zero) or "neither the U-Net nor the text encoders"
        yield finding("nothing-trained", why, option=zero[0] if zero else "network_train_unet_only")
    elif zero:
        yield finding("learning-rate-zero", ", ".join(zero), option=zero[0])
