"""Rules about the scheduler: warm-up, decay and arguments; open it for what get_scheduler_fix refuses.

The facts are in sd_scripts/schedulers.toml and classes.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import nearest, some
from tagflow.training.check.arguments import (
    Given,
    given_words,
    malformed,
    missing,
    repeated,
    taken,
    twice,
    unknown,
    wrong_values,
)
from tagflow.training.check.derived import OPTIMIZER, STEPS, optimizer, steps
from tagflow.training.check.optimizer import is_relative
from tagflow.training.check.registry import rule
from tagflow.training.sd_scripts.classes import class_of, known_paths, names_in
from tagflow.training.sd_scripts.schedulers import Scheduler, scheduler_path, schedulers
from tagflow.training.setup.setup import Setup

_LONG = 0.25  # of all steps
_SCHEDULE = (*OPTIMIZER, "optimizer_args")
_NAMED = ("lr_scheduler", "lr_scheduler_type", *_SCHEDULE)
_OPTIONS = ("lr_scheduler_num_cycles", "lr_scheduler_power", "lr_scheduler_timescale",
            "lr_scheduler_min_lr_ratio", "lr_decay_steps")  # fmt: skip
_FROM = {  # the options that some arguments come from
    "num_warmup_steps": "lr_warmup_steps", "num_decay_steps": "lr_decay_steps", "power": "lr_scheduler_power",
    "num_cycles": "lr_scheduler_num_cycles", "timescale": "lr_scheduler_timescale",
    "min_lr_rate": "lr_scheduler_min_lr_ratio", "min_lr_ratio": "lr_scheduler_min_lr_ratio",
    "num_training_steps": "max_train_steps", "optimizer": "optimizer_type",
}  # fmt: skip


def _is_schedule_free(setup: Setup) -> bool:
    """Whether the optimizer needs no scheduler, so that sd-scripts makes none."""
    return optimizer(setup).endswith("schedulefree")


def _is_scheduled(setup: Setup) -> bool:
    """Whether the scheduler that the options name is used."""
    return not _is_schedule_free(setup) and not is_relative(setup)


def _named(setup: Setup) -> Scheduler | None:
    """The scheduler that lr_scheduler names; None where it is not used, not known or broken."""
    if setup.text("lr_scheduler_type") or not _is_scheduled(setup):
        return None
    found = schedulers().get(setup.text("lr_scheduler"))
    return found if found and found.function else None


@rule("schedule-free", reads=("lr_scheduler", "lr_scheduler_type", "lr_warmup_steps", *OPTIMIZER))
def schedule_free(setup: Setup) -> Iterator[Finding]:
    given = [name for name in ("lr_scheduler", "lr_scheduler_type", "lr_warmup_steps") if setup.moved(name)]
    said = [name for name in given if setup.values.get(name) not in (0, "constant", "")]
    if said and _is_schedule_free(setup):
        yield finding("schedule-free", ", ".join(said), option=said[0])


@rule("scheduler-warmup", reads=("lr_warmup_steps", *_NAMED))
def scheduler_warmup(setup: Setup) -> Iterator[Finding]:
    """A warm-up with a scheduler that takes none, which stops the trainer."""
    if not setup.number("lr_warmup_steps") or _is_schedule_free(setup):
        return
    if is_relative(setup):
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
    "decay-beyond",
    "steps-share-beyond",
    reads=("lr_warmup_steps", "lr_decay_steps", *_NAMED, *STEPS),
)
def schedule_length(setup: Setup) -> Iterator[Finding]:
    """Warm-up and decay; a float is a share of the run whatever its size."""
    counted = {"lr_warmup_steps": _takes_warmup(setup), "lr_decay_steps": _decays(setup)}
    found: dict[str, float] = {}
    for option, counts in counted.items():
        value = setup.values.get(option)
        if not _is_scheduled(setup) or not counts or not isinstance(value, int | float) or not value:
            continue
        total = steps(setup)
        if isinstance(value, float) and value > 1:
            whole = f"{int(value)}" if value == int(value) else "a share below 1"
            of = f", {int(value * total)} of {total} steps" if total else ""
            yield finding("steps-share-beyond", f"{option} {value} is {value:g} times the run{of}",
                          option=option, cure=f"write {option} = {whole}")  # fmt: skip
        elif isinstance(value, float) or total:
            found[option] = value if isinstance(value, float) else value / (total or 1)
    of = f" of {total} steps" if (total := steps(setup)) else ""
    warmup, decay = found.get("lr_warmup_steps", 0.0), found.get("lr_decay_steps", 0.0)
    if warmup >= 1:
        said = f"{setup.number('lr_warmup_steps'):g}{of}"
        yield finding("warmup-beyond", said, option="lr_warmup_steps")
    elif warmup > _LONG:
        yield finding("warmup-long", f"{warmup:.0%}{of}", option="lr_warmup_steps")
    if decay and warmup + decay > 1:
        yield finding("decay-beyond", f"warm-up {warmup:.0%}, decay {decay:.0%}{of}", option="lr_decay_steps")


def _decays(setup: Setup) -> bool:
    name, kind = setup.text("lr_scheduler"), setup.text("lr_scheduler_type")
    return not kind and "lr_decay_steps" in schedulers().get(name, Scheduler()).reads


@rule("scheduler-unknown", "scheduler-unusable", "scheduler-adafactor", reads=_NAMED)
def scheduler_known(setup: Setup) -> Iterator[Finding]:
    kind, name, option = setup.text("lr_scheduler_type"), setup.text("lr_scheduler"), "lr_scheduler"
    if _is_schedule_free(setup):
        return
    if kind:
        yield from _class_known(setup, kind)
    elif not _is_scheduled(setup):
        return
    elif name.startswith("adafactor"):
        if optimizer(setup) != "adafactor" or ":" not in name:
            yield finding("scheduler-adafactor", f"{name} with {optimizer(setup)}", option=option)
    elif name not in schedulers():
        taken_names = [one for one, row in schedulers().items() if row.function]
        near = ", ".join(one for one in taken_names if one.startswith(name[:4].lower()))
        cure = ""
        if name in names_in("torch", "schedulers"):
            near, cure = f"lr_scheduler_type {name}", f"write lr_scheduler_type = {name}"
        yield finding(
            "scheduler-unknown", name + (f"; there are {near}" if near else ""), option=option, cure=cure
        )
    elif not schedulers()[name].function:
        yield finding("scheduler-unusable", name, option=option)


def _class_known(setup: Setup, kind: str) -> Iterator[Finding]:
    """Whether the class that lr_scheduler_type names is there, and can be used."""
    path, option = scheduler_path(kind), "lr_scheduler_type"
    package = path.partition(".")[0]
    known, seen = class_of(path, "schedulers"), setup.machine.classes.get(path) if setup.machine else None
    lacks = seen.lacks if seen else ""
    if kind in schedulers():
        yield finding(
            "scheduler-unknown", f"{kind} is no class", option=option, cure=f"write lr_scheduler = {kind}"
        )
    elif lacks == "class" or (not seen and known is None and path.startswith("torch.optim.lr_scheduler.")):
        near = nearest(kind.rpartition(".")[2], names_in(package, "schedulers"))
        first = near.removeprefix("did you mean ").rstrip("?").partition(", ")[0]
        cure = f"write {first}" if near else ""
        yield finding("scheduler-unknown", f"{kind}; {near}" if near else kind, option=option, cure=cure)
    elif lacks == "module" and seen and package != "torch":  # that one every run needs
        cure = "write a class of torch.optim.lr_scheduler, or install its package for the trainer's Python"
        yield finding("scheduler-unknown", f"{kind}: {seen.why}", option=option, cure=cure)
    elif known is not None and known.fails:
        yield finding("scheduler-unusable", f"{kind}: {known.fails}", option=option)


@rule("scheduler-argument-missing", reads=("lr_scheduler_args", "lr_scheduler_min_lr_ratio", *_NAMED))
def scheduler_argument_missing(setup: Setup) -> Iterator[Finding]:
    kind, name, option = setup.text("lr_scheduler_type"), setup.text("lr_scheduler"), "lr_scheduler"
    if _is_schedule_free(setup):
        return
    given, code = given_words(setup, "lr_scheduler_args"), "scheduler-argument-missing"
    if kind:
        known = taken(setup, scheduler_path(kind), "schedulers")
        lacking = missing(given, known, ("optimizer",)) if known and not known.fails else []
        if known and known.name == "OneCycleLR" and not _has_length(given):
            lacking = [*lacking, "total_steps"]
        if lacking:
            cure = f"add {' '.join(f'{one}=VALUE' for one in lacking)} to lr_scheduler_args"
            yield finding(code, f"{kind}: {', '.join(lacking)}", option="lr_scheduler_type", cure=cure)
    elif _is_scheduled(setup):
        keys = {one.key for one in given}
        ratio = setup.values.get("lr_scheduler_min_lr_ratio")
        if name == "cosine_with_min_lr" and ratio is None and not keys & {"min_lr", "min_lr_rate"}:
            yield finding(code, f"{name}: lr_scheduler_min_lr_ratio", option=option)
        if name == "piecewise_constant" and "step_rules" not in keys:
            yield finding(code, f"{name}: step_rules", option=option)


def _has_length(given: Sequence[Given]) -> bool:
    """Whether OneCycleLR is told how long it is, by either of two ways."""
    keys = {one.key for one in given}
    return "total_steps" in keys or {"epochs", "steps_per_epoch"} <= keys


@rule("scheduler-option-idle", reads=(*_OPTIONS, *_NAMED))
def scheduler_option_idle(setup: Setup) -> Iterator[Finding]:
    if (named := _named(setup)) is None:
        return
    for option in _OPTIONS:
        if setup.moved(option) and option not in named.reads:
            said = f"{option} with {setup.text('lr_scheduler')}"
            yield finding("scheduler-option-idle", said, option=option)


@rule("scheduler-args-form", reads=("lr_scheduler_args", *OPTIMIZER))
def scheduler_args_form(setup: Setup) -> Iterator[Finding]:
    for fault in malformed(setup, "lr_scheduler_args") if not _is_schedule_free(setup) else ():
        yield finding("scheduler-args-form", fault.what, option="lr_scheduler_args", cure=fault.cure)


@rule(
    "scheduler-argument-unknown",
    "scheduler-argument-twice",
    "scheduler-argument-value",
    reads=("lr_scheduler_args", "lr_scheduler_min_lr_ratio", *_NAMED),
)
def scheduler_arguments(setup: Setup) -> Iterator[Finding]:
    option, kind = "lr_scheduler_args", setup.text("lr_scheduler_type")
    given, named = given_words(setup, option), _named(setup)
    if not given or _is_schedule_free(setup) or not (kind or named):
        return
    path = scheduler_path(kind) if kind else named.function if named else ""
    passed = ("optimizer", *(() if kind or not named else named.passed))
    for fault in twice(given, {key: _FROM.get(key, "") for key in passed}):
        yield finding("scheduler-argument-twice", fault.what, option=option, cure=fault.cure)
    keys = [one.key for one in given]
    ratio = setup.values.get("lr_scheduler_min_lr_ratio")
    if "min_lr" in keys and "min_lr_rate" in passed and ratio is not None:
        what = f"min_lr beside lr_scheduler_min_lr_ratio {ratio}: only one of min_lr and min_lr_rate"
        cure = "take min_lr out of lr_scheduler_args, or leave lr_scheduler_min_lr_ratio out"
        yield finding("scheduler-argument-twice", what, option=option, cure=cure)
    if again := repeated(given):
        what, cure = f"{some(again)} more than once; the last one counts", "leave the one that is meant"
        yield finding("scheduler-argument-twice", what, option=option, severity="warning", cure=cure)
    known = taken(setup, path, "schedulers")
    if known is None:
        return
    of = kind or setup.text("lr_scheduler")
    for fault in unknown(given, known, passed, _owners(), of) if not known.rest else ():
        yield finding("scheduler-argument-unknown", fault.what, option=option, cure=fault.cure)
    for fault in wrong_values(given, known, always=True):
        yield finding(
            "scheduler-argument-value", fault.what, option=option, cure=fault.cure, severity=fault.severity
        )


@cache
def _owners() -> Mapping[str, Sequence[str]]:
    """Which schedulers take an argument: names of lr_scheduler, and classes of lr_scheduler_type."""
    found: dict[str, list[str]] = {}
    rows = {name: (row.function, row.passed) for name, row in schedulers().items() if row.function}
    torch = {
        path.rpartition(".")[2]: (path, ()) for path in known_paths("schedulers") if path.startswith("torch.")
    }
    for name, (path, passed) in {**rows, **torch}.items():
        known = class_of(path, "schedulers")
        for argument in known.arguments if known and not known.fails else ():
            if argument not in passed:
                found.setdefault(argument, []).append(name)
    return found
