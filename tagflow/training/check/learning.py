"""Rules about optimizers and schedulers; open it for rates, warm-up, and how many steps a run has."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many
from tagflow.training.check.derived import (
    CACHES_TEXT,
    OPTIMIZER,
    STEPS,
    TRAINS_TEXT,
    TRAINS_UNET,
    adapts,
    arguments,
    batches,
    caches_text,
    optimizer,
    share,
    steps,
    trains_text,
    trains_unet,
    words,
)
from tagflow.training.check.registry import rule
from tagflow.training.sd_scripts.optimizers import OWN, TORCH
from tagflow.training.setup.setup import Setup

_TAKEN = (
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup",
    "inverse_sqrt", "cosine_with_min_lr", "warmup_stable_decay", "piecewise_constant",
)  # fmt: skip
# Known to transformers, but sd-scripts hands them arguments that they do not take.
_BROKEN = ("reduce_lr_on_plateau", "cosine_warmup_with_min_lr")
# Which schedulers read an option; the others pass it over.
_READ_BY = {
    "lr_scheduler_num_cycles": ("cosine_with_restarts", "cosine_with_min_lr", "warmup_stable_decay"),
    "lr_scheduler_power": ("polynomial",),
    "lr_scheduler_timescale": ("inverse_sqrt",),
    "lr_scheduler_min_lr_ratio": ("cosine_with_min_lr", "warmup_stable_decay"),
    "lr_decay_steps": ("warmup_stable_decay",),
}
_HIGH, _LOW = 0.01, 0.1
_LONG = 0.25  # of all steps
_RATES = ("learning_rate", "unet_lr", "text_encoder_lr", *TRAINS_UNET, *TRAINS_TEXT)


@rule("optimizer-twice", reads=OPTIMIZER)
def optimizer_twice(setup: Setup) -> Iterator[Finding]:
    named = [name for name in ("use_8bit_adam", "use_lion_optimizer") if setup.on(name)]
    said = setup.text("optimizer_type")
    every = [*named, f"optimizer_type {said}"] if said else named
    if named and len(every) > 1:
        yield finding("optimizer-twice", ", ".join(every), option=named[0])


@rule("optimizer-unknown", reads=("optimizer_type",))
def optimizer_unknown(setup: Setup) -> Iterator[Finding]:
    said = setup.text("optimizer_type")
    if said and "." not in said and said.lower() not in OWN and said not in TORCH:
        near = [name for name in (*TORCH, "AdamW8bit") if name.lower() == said.lower()]
        meant = f"; did you mean {near[0]}?" if near else ""
        yield finding("optimizer-unknown", said + meant, option="optimizer_type")


@rule("optimizer-args-form", reads=("optimizer_args",))
def optimizer_args_form(setup: Setup) -> Iterator[Finding]:
    for word in _malformed(setup, "optimizer_args"):
        yield finding("optimizer-args-form", word, option="optimizer_args")


def _malformed(setup: Setup, option: str) -> list[str]:
    """The words of an option that are not `key=value` with a value of Python's."""
    good = arguments(setup, option)
    return [
        word for word in words(setup, option) if word.count("=") != 1 or word.partition("=")[0] not in good
    ]


@rule("text-encoder-lr-several", reads=("text_encoder_lr", "network_module"))
def text_encoder_lr_several(setup: Setup) -> Iterator[Finding]:
    rate = setup.values.get("text_encoder_lr")
    plain = ("networks.lora", "networks.lora_fa", "networks.dylora", "")
    if isinstance(rate, list) and len(set(rate)) > 1 and setup.text("network_module") in plain:
        said = " ".join(f"{one:g}" for one in rate)
        yield finding("text-encoder-lr-several", said, option="text_encoder_lr")


@rule("text-encoder-lr-idle", reads=("text_encoder_lr", *TRAINS_TEXT))
def text_encoder_lr_idle(setup: Setup) -> Iterator[Finding]:
    rate = setup.values.get("text_encoder_lr")
    rates = rate if isinstance(rate, list) else [rate]
    if setup.moved("text_encoder_lr") and any(rates) and not trains_text(setup):
        yield finding("text-encoder-lr-idle", option="text_encoder_lr")


@rule(
    "text-encoder-lr-inherited",
    reads=("text_encoder_lr", "unet_lr", "learning_rate", *TRAINS_TEXT, *CACHES_TEXT),
)
def text_encoder_lr_inherited(setup: Setup) -> Iterator[Finding]:
    trained = trains_text(setup) and not caches_text(setup)
    if setup.values.get("text_encoder_lr") is None and trained and "unet_lr" in setup.given:
        said = f"{setup.number('learning_rate'):g}"
        yield finding("text-encoder-lr-inherited", said, option="text_encoder_lr")


def _rates(setup: Setup) -> dict[str, float]:
    """The rate of each part that is trained, as sd-scripts takes it: its own, else `learning_rate`."""
    found: dict[str, object] = {}
    if trains_text(setup):
        own = setup.values.get("text_encoder_lr")
        found["text_encoder_lr"] = own[0] if isinstance(own, list) and own else own
    if trains_unet(setup):
        found["unet_lr"] = setup.values.get("unet_lr")
    shared = setup.number("learning_rate")
    return {name: float(rate) if isinstance(rate, int | float) else shared for name, rate in found.items()}


@rule("nothing-trained", "learning-rate-zero", reads=_RATES)
def learning_rate_zero(setup: Setup) -> Iterator[Finding]:
    found = _rates(setup)
    zero = [name for name, rate in found.items() if not rate]
    if not any(found.values()):
        why = ", ".join(f"{name} 0" for name in zero) or "neither the U-Net nor the text encoders"
        yield finding("nothing-trained", why, option=zero[0] if zero else "network_train_unet_only")
    elif zero:
        yield finding("learning-rate-zero", ", ".join(zero), option=zero[0])


def _is_plain(setup: Setup) -> bool:
    """Whether the optimizer takes the rates as they are."""
    return not adapts(setup) and optimizer(setup) != "adafactor"


@rule("learning-rate-default", reads=(*_RATES, *OPTIMIZER))
def learning_rate_default(setup: Setup) -> Iterator[Finding]:
    unset = [name for name, rate in _rates(setup).items() if rate and name not in setup.given]
    if unset and "learning_rate" not in setup.given and _is_plain(setup):
        yield finding("learning-rate-default", f"for {', '.join(unset)}", option="learning_rate")


@rule("learning-rate-high", reads=(*_RATES, *OPTIMIZER))
def learning_rate_high(setup: Setup) -> Iterator[Finding]:
    high = {name: rate for name, rate in _rates(setup).items() if rate >= _HIGH}
    if high and _is_plain(setup) and optimizer(setup) != "sgdnesterov":
        said = ", ".join(f"{name} {rate:g}" for name, rate in high.items())
        yield finding("learning-rate-high", f"{said} with {optimizer(setup)}", option=next(iter(high)))


@rule("adaptive-rate-low", "adaptive-rates-several", reads=(*_RATES, *OPTIMIZER))
def adaptive_rate(setup: Setup) -> Iterator[Finding]:
    """An optimizer that finds the rate itself takes one factor for all, which is 1."""
    if not adapts(setup):
        return
    found = {name: rate for name, rate in _rates(setup).items() if rate}
    low = {name: rate for name, rate in found.items() if rate <= _LOW}
    if low:
        said = ", ".join(f"{name} {rate:g}" for name, rate in low.items())
        yield finding("adaptive-rate-low", f"{said} with {optimizer(setup)}", option="learning_rate")
    if len(set(found.values())) > 1:
        yield finding("adaptive-rates-several", ", ".join(found), option="unet_lr")


@rule("steps-default", "steps-and-epochs", reads=("max_train_epochs", "max_train_steps"))
def steps_given(setup: Setup) -> Iterator[Finding]:
    epochs, count = "max_train_epochs" in setup.given, "max_train_steps" in setup.given
    if not epochs and not count:
        yield finding("steps-default", option="max_train_steps")
    if epochs and setup.moved("max_train_steps") and setup.number("max_train_epochs"):
        yield finding("steps-and-epochs", option="max_train_steps")


@rule("epochs-otherwise", reads=("max_train_epochs", *STEPS))
def epochs_otherwise(setup: Setup) -> Iterator[Finding]:
    """A front end's own `epoch`, which sd-scripts does not read: it makes epochs of the steps."""
    meant, count = setup.front_end.get("epoch"), int(setup.number("max_train_steps"))
    every = batches(setup)
    if setup.number("max_train_epochs") or not every or not isinstance(meant, int) or meant < 1:
        return
    each = math.ceil(every / max(int(setup.number("gradient_accumulation_steps")), 1))
    if (made := math.ceil(count / each)) != meant:
        what = f"epoch = {meant}, and {count} steps of {each} an epoch are {many(made, 'epoch')}"
        yield finding("epochs-otherwise", what, option="max_train_steps")


@rule("initial-step-beyond", reads=("initial_step", *STEPS))
def initial_step_beyond(setup: Setup) -> Iterator[Finding]:
    first, total = setup.number("initial_step"), steps(setup)
    if total and first >= total:
        yield finding("initial-step-beyond", f"{first:g} of {total}", option="initial_step")


@rule("initial-without-resume", reads=("initial_step", "initial_epoch", "resume", "network_weights"))
def initial_without_resume(setup: Setup) -> Iterator[Finding]:
    started = [name for name in ("initial_step", "initial_epoch") if setup.moved(name)]
    if started and not setup.text("resume") and not setup.text("network_weights"):
        yield finding("initial-without-resume", option=started[0])


@rule("seed-missing", reads=("seed",))
def seed_missing(setup: Setup) -> Iterator[Finding]:
    if setup.values.get("seed") is None:
        yield finding("seed-missing", option="seed")


_SCHEDULE = (*OPTIMIZER, "optimizer_args")


def _is_schedule_free(setup: Setup) -> bool:
    """Whether the optimizer needs no scheduler, so that sd-scripts makes none."""
    return optimizer(setup).endswith("schedulefree")


def _is_relative(setup: Setup) -> bool:
    """Whether Adafactor sets its own rate, as it does unless it is told not to."""
    given = arguments(setup, "optimizer_args")
    asked = given.get("relative_step", True) or given.get("warmup_init")
    return optimizer(setup) == "adafactor" and bool(asked)


def _is_scheduled(setup: Setup) -> bool:
    """Whether the scheduler that the options name is used."""
    return not _is_schedule_free(setup) and not _is_relative(setup)


@rule("schedule-free", reads=("lr_scheduler", "lr_scheduler_type", "lr_warmup_steps", *OPTIMIZER))
def schedule_free(setup: Setup) -> Iterator[Finding]:
    given = [name for name in ("lr_scheduler", "lr_scheduler_type", "lr_warmup_steps") if setup.moved(name)]
    said = [name for name in given if setup.values.get(name) not in (0, "constant", "")]
    if said and _is_schedule_free(setup):
        yield finding("schedule-free", ", ".join(said), option=said[0])


@rule("adafactor-relative", reads=("unet_lr", "text_encoder_lr", "lr_scheduler", *_SCHEDULE))
def adafactor_relative(setup: Setup) -> Iterator[Finding]:
    said = [name for name in ("unet_lr", "text_encoder_lr", "lr_scheduler") if setup.moved(name)]
    if said and _is_relative(setup):
        yield finding("adafactor-relative", ", ".join(said), option="optimizer_type")


@rule("scheduler-warmup", reads=("lr_warmup_steps", "lr_scheduler", "lr_scheduler_type", *_SCHEDULE))
def scheduler_warmup(setup: Setup) -> Iterator[Finding]:
    """A warm-up with a scheduler that takes none, which stops the trainer."""
    if not setup.number("lr_warmup_steps") or _is_schedule_free(setup):
        return
    if _is_relative(setup):
        yield finding("scheduler-warmup", "the one of Adafactor with relative_step", option="lr_warmup_steps")
    elif not _takes_warmup(setup):
        name = setup.text("lr_scheduler_type") or setup.text("lr_scheduler")
        yield finding("scheduler-warmup", name, option="lr_warmup_steps")


def _takes_warmup(setup: Setup) -> bool:
    name = setup.text("lr_scheduler")
    return not setup.text("lr_scheduler_type") and name != "constant" and not name.startswith("adafactor")


@rule(
    "warmup-beyond",
    "warmup-long",
    reads=("lr_warmup_steps", "lr_scheduler", "lr_scheduler_type", *_SCHEDULE, *STEPS),
)
def warmup_length(setup: Setup) -> Iterator[Finding]:
    if not setup.number("lr_warmup_steps") or not _is_scheduled(setup) or not _takes_warmup(setup):
        return
    option, part, total = "lr_warmup_steps", share(setup, "lr_warmup_steps"), steps(setup)
    of = f" of {total} steps" if total else ""
    if part is not None and part >= 1:
        yield finding("warmup-beyond", f"{setup.number(option):g}{of}", option=option)
    elif part is not None and part > _LONG:
        yield finding("warmup-long", f"{part:.0%}{of}", option=option)


@rule(
    "scheduler-unknown",
    "scheduler-unusable",
    "scheduler-adafactor",
    reads=("lr_scheduler", "lr_scheduler_type", *_SCHEDULE),
)
def scheduler_known(setup: Setup) -> Iterator[Finding]:
    name, option = setup.text("lr_scheduler"), "lr_scheduler"
    if setup.text("lr_scheduler_type") or not _is_scheduled(setup):
        return
    if name.startswith("adafactor"):
        if optimizer(setup) != "adafactor" or ":" not in name:
            yield finding("scheduler-adafactor", f"{name} with {optimizer(setup)}", option=option)
    elif name in _BROKEN:
        yield finding("scheduler-unusable", name, option=option)
    elif name not in _TAKEN:
        near = ", ".join(one for one in _TAKEN if one.startswith(name[:4].lower()))
        yield finding("scheduler-unknown", name + (f"; there are {near}" if near else ""), option=option)


@rule(
    "scheduler-argument-missing",
    reads=("lr_scheduler", "lr_scheduler_type", "lr_scheduler_args", "lr_scheduler_min_lr_ratio", *_SCHEDULE),
)
def scheduler_argument_missing(setup: Setup) -> Iterator[Finding]:
    name, option = setup.text("lr_scheduler"), "lr_scheduler"
    if setup.text("lr_scheduler_type") or not _is_scheduled(setup):
        return
    given = arguments(setup, "lr_scheduler_args").keys()
    ratio = setup.values.get("lr_scheduler_min_lr_ratio")
    if name == "cosine_with_min_lr" and ratio is None and not given & {"min_lr", "min_lr_rate"}:
        yield finding("scheduler-argument-missing", f"{name}: lr_scheduler_min_lr_ratio", option=option)
    if name == "piecewise_constant" and "step_rules" not in given:
        yield finding("scheduler-argument-missing", f"{name}: step_rules", option=option)


@rule("scheduler-option-idle", reads=("lr_scheduler", "lr_scheduler_type", *_READ_BY, *_SCHEDULE))
def scheduler_option_idle(setup: Setup) -> Iterator[Finding]:
    name = setup.text("lr_scheduler")
    if setup.text("lr_scheduler_type") or not _is_scheduled(setup):
        return
    for one, readers in _READ_BY.items():
        if setup.moved(one) and name in _TAKEN and name not in readers:
            yield finding("scheduler-option-idle", f"{one} with {name}", option=one)


@rule("scheduler-args-form", reads=("lr_scheduler_args", *_SCHEDULE))
def scheduler_args_form(setup: Setup) -> Iterator[Finding]:
    for word in _malformed(setup, "lr_scheduler_args") if _is_scheduled(setup) else ():
        yield finding("scheduler-args-form", word, option="lr_scheduler_args")
