"""Rules about the optimizer and its arguments; open it for a class that is not there, or a wrong argument.

The facts are in sd_scripts/optimizers.toml and classes.json; where the trainer's own Python was asked, its
word on arguments counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import nearest, some
from tagflow.training.check.arguments import (
    given_values,
    given_words,
    malformed,
    missing,
    out_of_range,
    repeated,
    taken,
    twice,
    unknown,
    wrong_values,
)
from tagflow.training.check.derived import OPTIMIZER, optimizer
from tagflow.training.check.registry import rule
from tagflow.training.sd_scripts.classes import Class, class_of, names_in
from tagflow.training.sd_scripts.optimizers import (
    facts,
    named_optimizer,
    optimizer_path,
    own_names,
    torch_names,
)
from tagflow.training.setup.setup import Setup

_ARGS = (*OPTIMIZER, "optimizer_args")


@rule("optimizer-twice", reads=OPTIMIZER)
def optimizer_twice(setup: Setup) -> Iterator[Finding]:
    named = [name for name in ("use_8bit_adam", "use_lion_optimizer") if setup.on(name)]
    said = setup.text("optimizer_type")
    every = [*named, f"optimizer_type {said}"] if said else named
    if named and len(every) > 1:
        yield finding("optimizer-twice", ", ".join(every), option=named[0])


@rule("optimizer-unknown", "optimizer-unusable", reads=("optimizer_type",))
def optimizer_known(setup: Setup) -> Iterator[Finding]:
    said, option = setup.text("optimizer_type"), "optimizer_type"
    if not said or said.lower() in own_names():
        return
    path = optimizer_path(said)
    package, name = path.partition(".")[0], path.rpartition(".")[2]
    seen = setup.machine.classes.get(path) if setup.machine else None
    known = class_of(path, "optimizers")
    barred = facts()["unusable"].get(known.path if known else path)
    if said.lower().startswith("dadapt"):  # sd-scripts takes any such name for one of its own
        own = own_names().get(name.lower())
        cure = f"write {own}" if own else ""
        yield finding(
            "optimizer-unknown", f"{said}; {nearest(name, own_names().values())}", option=option, cure=cure
        )
    elif barred:
        yield finding("optimizer-unusable", f"{said}: {barred}", option=option)
    elif seen is not None and seen.lacks == "class":
        yield _no_such(said, package, option)
    elif seen is None and known is None and (package == "torch" or names_in(package, "optimizers")):
        if "." not in said or path.count(".") == 1 or package == "torch":
            yield _no_such(said, package, option)
    elif known is not None and known.fails and not _may_be_mended(known):
        what = f"{said}: {known.fails} as it is made of parameters and a rate alone"
        yield finding("optimizer-unusable", what, option=option)


def _may_be_mended(known: Class) -> bool:
    """Whether an argument in optimizer_args makes a class usable, which another rule asks for."""
    lacking = known.required
    needed = bool(lacking) and all(one.kind in ("number", "numbers", "flag", "text") for one in lacking)
    return needed or known.path in facts()["needed"]


def _no_such(said: str, package: str, option: str) -> Finding:
    """The finding for a class that is not there, with the one that was meant."""
    name = said.rpartition(".")[2]
    if "." in said:
        known = [f"{said.rpartition('.')[0]}.{one}" for one in names_in(package, "optimizers")]
        same = [one for one in known if one.lower() == said.lower()]
        near = f"did you mean {same[0]}?" if same else nearest(said, known)
    else:
        known = [*own_names().values(), *torch_names()]
        exact = [one for one in torch_names() if one.lower() == name.lower()]
        elsewhere = [one for one in _everywhere(name.lower()) if "torch." not in one]
        same = exact or elsewhere
        near = f"did you mean {some(same)}?" if same else nearest(said, known)
    meant = near.removeprefix("did you mean ").rstrip("?").split(", ")
    cure = f"write {meant[0]}" if near and len(meant) == 1 else ""
    return finding("optimizer-unknown", f"{said}; {near}" if near else said, option=option, cure=cure)


def _everywhere(name: str) -> list[str]:
    """The full names of the classes of other packages that have this name, in lower case."""
    packages = ("bitsandbytes", "prodigyplus", "pytorch_optimizer")
    found = (class_of(f"{package}.{one}", "optimizers") for package in packages
             for one in names_in(package, "optimizers") if one.lower() == name)  # fmt: skip
    return [one.path for one in found if one]


@rule("optimizer-args-form", reads=("optimizer_args",))
def optimizer_args_form(setup: Setup) -> Iterator[Finding]:
    for fault in malformed(setup, "optimizer_args"):
        yield finding("optimizer-args-form", fault.what, option="optimizer_args", cure=fault.cure)


@rule(
    "optimizer-argument-unknown",
    "optimizer-argument-ignored",
    "optimizer-argument-twice",
    "optimizer-argument-repeated",
    reads=_ARGS,
)
def optimizer_argument_names(setup: Setup) -> Iterator[Finding]:
    said, option = named_optimizer(setup.values), "optimizer_args"
    own = own_names().get(said.lower(), said)
    given, known = given_words(setup, option), taken(setup, optimizer_path(said), "optimizers")
    passed = {"lr": "learning_rate", "params": ""} | dict.fromkeys(facts()["given"].get(own, ()), "")
    for fault in twice(given, passed):
        yield finding("optimizer-argument-twice", fault.what, option=option, cure=fault.cure)
    if again := repeated(given):
        yield finding("optimizer-argument-repeated", some(again), option=option)
    if known is None or (known.rest and class_of(known.path, "optimizers") is None):
        return
    code = "optimizer-argument-ignored" if known.rest else "optimizer-argument-unknown"
    for fault in unknown(given, known, list(passed), _owners(), own):
        yield finding(code, fault.what, option=option, cure=fault.cure)


@cache
def _owners() -> Mapping[str, Sequence[str]]:
    """Which of sd-scripts' own optimizers take an argument, by the argument."""
    found: dict[str, list[str]] = {}
    for name, path in facts()["names"].items():
        known = class_of(path, "optimizers")
        for argument in known.arguments if known else ():
            found.setdefault(argument, []).append(name)
    return found


@rule("optimizer-argument-value", "optimizer-argument-range", reads=_ARGS)
def optimizer_argument_values(setup: Setup) -> Iterator[Finding]:
    known = taken(setup, optimizer_path(named_optimizer(setup.values)), "optimizers")
    if known is None:
        return
    option, given = "optimizer_args", given_words(setup, "optimizer_args")
    for fault in wrong_values(given, known):
        yield finding(
            "optimizer-argument-value", fault.what, option=option, cure=fault.cure, severity=fault.severity
        )
    for fault in out_of_range(given, known):
        yield finding("optimizer-argument-range", fault.what, option=option, cure=fault.cure)


@rule("optimizer-argument-missing", reads=_ARGS)
def optimizer_argument_missing(setup: Setup) -> Iterator[Finding]:
    said, option = named_optimizer(setup.values), "optimizer_args"
    known = taken(setup, optimizer_path(said), "optimizers")
    if known is None or (known.fails and not _may_be_mended(known)):
        return
    given = given_words(setup, option)
    lacking = missing(given, known, ("lr", "params"))
    if lacking:
        cure = f"add {' '.join(f'{name}=VALUE' for name in lacking)} to optimizer_args"
        yield finding("optimizer-argument-missing", f"{said}: {', '.join(lacking)}", option=option, cure=cure)
    own = own_names().get(said.lower(), said)
    needed = facts()["needed"].get(known.path, "")
    key = needed.partition("=")[0]
    if needed and key not in facts()["filled"].get(own, ()):
        values = given_values(setup, option)
        wrong = values.get(key, True) if key == "relative_step" else not values.get(key, 0)
        if wrong:
            cure = f"add {needed} to optimizer_args"
            if known.name == "Adafactor":
                cure += ", or write optimizer_type Adafactor, which sets it"
            yield finding("optimizer-argument-missing", f"{said}: {needed}", option=option, cure=cure)


def is_relative(setup: Setup) -> bool:
    """Whether Adafactor sets its own rate, as it does unless it is told not to."""
    given = given_values(setup, "optimizer_args")
    asked = given.get("relative_step", True) or given.get("warmup_init")
    return optimizer(setup) == "adafactor" and bool(asked)


@rule("adafactor-relative", reads=("unet_lr", "text_encoder_lr", "lr_scheduler", *_ARGS))
def adafactor_relative(setup: Setup) -> Iterator[Finding]:
    said = [name for name in ("unet_lr", "text_encoder_lr", "lr_scheduler") if setup.moved(name)]
    if said and is_relative(setup):
        yield finding("adafactor-relative", ", ".join(said), option="optimizer_type")


@rule("adafactor-clipped", reads=("max_grad_norm", *_ARGS))
def adafactor_clipped(setup: Setup) -> Iterator[Finding]:
    norm = setup.number("max_grad_norm")
    if norm and optimizer(setup) == "adafactor" and not is_relative(setup):
        yield finding("adafactor-clipped", f"max_grad_norm {norm:g}", option="max_grad_norm")
