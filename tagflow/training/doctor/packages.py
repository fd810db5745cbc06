"""The packages that the trainer imports: there, working, and in the versions that it pins."""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.findings import Severity
from tagflow.training.doctor.line import Line, Needs, bad, ok
from tagflow.training.machine import Machine

PINNED = {"transformers": "4.54.1", "huggingface-hub": "0.34.3", "diffusers": "0.32.1", "accelerate": "1.6.0"}
"""sd-scripts' requirements.txt at 0.10.1: those that its behaviour hangs on."""

_IMPORTED = (
    "torchvision", "numpy", "safetensors", "opencv-python", "pillow", "voluptuous", "toml", "einops",
    "imagesize",
)  # fmt: skip
# By how an optimizer's name begins, in lower case, or ends: the package that it comes from.
_BEGINS = {"dadapt": "dadaptation", "prodigyplus": "prodigy-plus-schedule-free"}
_ENDS = {"schedulefree": "schedulefree"}
_IS = {"lion": "lion-pytorch", "prodigy": "prodigyopt"}


def of_packages(machine: Machine, needs: Needs) -> Iterator[Line]:
    """A line for each pinned and each optional package, one for the others, one for each that is wrong."""
    for name, version in PINNED.items():
        yield _pinned(machine, name, version)
    yield from _bitsandbytes(machine, needs)
    yield from _xformers(machine, needs)
    yield from _ftfy(machine)
    yield from _tensorboard(machine, needs)
    for name in _asked(needs):
        yield _required(machine, name)
    lines = [_required(machine, name) for name in _IMPORTED]
    fine = [name for name, line in zip(_IMPORTED, lines, strict=True) if line.state == "ok"]
    if fine:
        yield ok("libraries", ", ".join(f"{name} {machine.packages[name]}" for name in fine))
    yield from (line for line in lines if line.state != "ok")


def _required(machine: Machine, name: str, severity: Severity = "error") -> Line:
    version = machine.packages.get(name)
    if version is None:
        return bad(name, "package-missing", "not installed", severity=severity)
    if name in machine.broken:
        return bad(name, "package-broken", f"{version}: {machine.broken[name]}", severity=severity)
    return ok(name, version)


def _pinned(machine: Machine, name: str, version: str) -> Line:
    line = _required(machine, name)
    if line.state == "ok" and line.seen != version:
        return bad(name, "package-version", f"{line.seen}; sd-scripts pins {version}")
    if line.state == "ok" and name == "accelerate":
        return ok(name, f"{line.seen}, starts as `python -m accelerate.commands.launch`")
    return line


def _bitsandbytes(machine: Machine, needs: Needs) -> Iterator[Line]:
    """A warning even without a run, for most runs use it. That it needs a GPU matters where it is used."""
    severity: Severity = "error" if needs.bitsandbytes else "info" if needs.run else "warning"
    line = _required(machine, "bitsandbytes", severity)
    if line.code == "package-missing":
        yield bad("bitsandbytes", "bitsandbytes-missing", _for(needs), severity=severity)
    elif line.state == "ok" and needs.bitsandbytes and not machine.gpus:
        yield bad("bitsandbytes", "bitsandbytes-no-gpu", _for(needs))
    else:
        yield line


def _for(needs: Needs) -> str:
    if needs.run is None:
        return "not there; the 8-bit optimizers need it"
    asked = needs.text("optimizer_type") or needs.optimizer
    return f"the plan asks for {asked}" if needs.bitsandbytes else "not there; the plan does without"


def _xformers(machine: Machine, needs: Needs) -> Iterator[Line]:
    asked = needs.on("xformers")
    line = _required(machine, "xformers", "error" if asked else "info")
    if line.code == "package-missing":
        seen = "the plan asks for it" if asked else "not there; only a run that asks for it needs it"
        yield bad("xformers", "xformers-missing", seen, severity="error" if asked else "info")
    else:
        yield line


def _ftfy(machine: Machine) -> Iterator[Line]:
    line = _required(machine, "ftfy")
    yield bad("ftfy", "ftfy-missing", line.seen) if line.code == "package-missing" else line


def _tensorboard(machine: Machine, needs: Needs) -> Iterator[Line]:
    """sd-scripts logs to it wherever a logging folder is named and nothing else is."""
    asked = needs.text("log_with") in {"tensorboard", "all"} or (
        needs.on("logging_dir") and not needs.on("log_with")
    )
    yield _required(machine, "tensorboard", "error" if asked else "info" if needs.run else "warning")


def _asked(needs: Needs) -> Iterator[str]:
    """The packages that only some runs use, where this one does."""
    name = needs.optimizer
    yield from (package for start, package in _BEGINS.items() if name.startswith(start))
    yield from (package for end, package in _ENDS.items() if name.endswith(end) and "." not in name)
    if name in _IS:
        yield _IS[name]
    if "." in name:  # a class by its module, such as pytorch_optimizer.CAME
        yield name.partition(".")[0].replace("_", "-")
    if needs.text("log_with") in {"wandb", "all"}:
        yield "wandb"
    if needs.on("deepspeed"):
        yield "deepspeed"
