"""Steps, warm-up and schedulers: what runs how long, and at which rate."""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.training.faults import Fault
from tagflow.training.rules.derived import arguments, optimizer, share, steps, words
from tagflow.training.setup import Setup

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


def faults(setup: Setup) -> Iterator[Fault]:
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


def _steps(setup: Setup) -> Iterator[Fault]:
    epochs, count = "max_train_epochs" in setup.given, "max_train_steps" in setup.given
    if not epochs and not count:
        yield Fault("steps-default", "", "max_train_steps")
    if epochs and count and setup.number("max_train_epochs"):
        yield Fault("steps-and-epochs", "", "max_train_steps")
    first, total = setup.number("initial_step"), steps(setup)
    if total and first >= total:
        yield Fault("initial-step-beyond", f"{first:g} of {total}", "initial_step")
    started = [name for name in ("initial_step", "initial_epoch") if name in setup.given]
    if started and not setup.text("resume") and not setup.text("network_weights"):
        yield Fault("initial-without-resume", "", started[0])
    if setup.values.get("seed") is None:
        yield Fault("seed-missing", "", "seed")


def _warmup(setup: Setup) -> Iterator[Fault]:
    option, name = "lr_warmup_steps", setup.text("lr_scheduler")
    if not setup.number(option):
        return
    custom = setup.text("lr_scheduler_type")
    if custom or name in _NO_WARMUP or name.startswith("adafactor"):
        yield Fault("scheduler-warmup", custom or name, option)
        return
    part, total = share(setup, option), steps(setup)
    of = f" of {total} steps" if total else ""
    if part is not None and part >= 1:
        yield Fault("warmup-beyond", f"{setup.number(option):g}{of}", option)
    elif part is not None and part > _LONG:
        yield Fault("warmup-long", f"{part:.0%}{of}", option)


def _scheduler(setup: Setup) -> Iterator[Fault]:
    name, option = setup.text("lr_scheduler"), "lr_scheduler"
    given = arguments(setup, "lr_scheduler_args").keys()
    if name.startswith("adafactor"):
        if optimizer(setup) != "adafactor" or ":" not in name:
            yield Fault("scheduler-adafactor", f"{name} with {optimizer(setup)}", option)
    elif name in _BROKEN:
        yield Fault("scheduler-unusable", name, option)
    elif name not in _TAKEN:
        near = ", ".join(one for one in _TAKEN if one.startswith(name[:4].lower()))
        yield Fault("scheduler-unknown", name + (f"; there are {near}" if near else ""), option)
    ratio = setup.values.get("lr_scheduler_min_lr_ratio")
    if name == "cosine_with_min_lr" and ratio is None and not given & {"min_lr", "min_lr_rate"}:
        yield Fault("scheduler-argument-missing", f"{name}: lr_scheduler_min_lr_ratio", option)
    if name == "piecewise_constant" and "step_rules" not in given:
        yield Fault("scheduler-argument-missing", f"{name}: step_rules", option)
    for one, readers in _READ_BY.items():
        if one in setup.given and name in _TAKEN and name not in readers:
            yield Fault("scheduler-option-idle", f"{one} with {name}", one)


def _arguments(setup: Setup) -> Iterator[Fault]:
    good = arguments(setup, "lr_scheduler_args")
    for word in words(setup, "lr_scheduler_args"):
        if word.count("=") != 1 or word.partition("=")[0] not in good:
            yield Fault("scheduler-args-form", word, "lr_scheduler_args")


def _schedule_free(setup: Setup) -> Iterator[Fault]:
    given = [name for name in ("lr_scheduler", "lr_scheduler_type", "lr_warmup_steps") if name in setup.given]
    said = [name for name in given if setup.values.get(name) not in (0, "constant", "")]
    if said:
        yield Fault("schedule-free", ", ".join(said), said[0])


def _relative(setup: Setup) -> bool:
    """Whether Adafactor sets its own rate, as it does unless it is told not to."""
    given = arguments(setup, "optimizer_args")
    asked = given.get("relative_step", True) or given.get("warmup_init")
    return optimizer(setup) == "adafactor" and bool(asked)


def _adafactor(setup: Setup) -> Iterator[Fault]:
    """Its own scheduler is put in the place of any other; that takes no warm-up."""
    if setup.number("lr_warmup_steps"):
        yield Fault("scheduler-warmup", "the one of Adafactor with relative_step", "lr_warmup_steps")
    said = [name for name in ("unet_lr", "text_encoder_lr", "lr_scheduler") if name in setup.given]
    if said:
        yield Fault("adafactor-relative", ", ".join(said), "optimizer_type")
