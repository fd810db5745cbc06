"""The doctor's look at the trainer's Python and GPU; open it for a package or a version that is asked for.

It tells what is missing, broken, too old or too small for a run. Pure: a Machine goes in, lines come out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tagflow.findings.finding import Severity
from tagflow.training.doctor.line import Line, Needs, bad, ok
from tagflow.training.machine.probe import Gpu, Machine
from tagflow.training.sd_scripts.environment import is_own
from tagflow.training.sd_scripts.optimizers import packages_of

PINNED = {"transformers": "4.54.1", "huggingface-hub": "0.34.3", "diffusers": "0.32.1", "accelerate": "1.6.0"}
"""sd-scripts' requirements.txt at 0.10.1: those that its behaviour hangs on."""

_IN_REQUIREMENTS = {
    *PINNED, "ftfy", "opencv-python", "einops", "bitsandbytes", "lion-pytorch", "schedulefree",
    "pytorch-optimizer", "prodigy-plus-schedule-free", "prodigyopt", "tensorboard", "safetensors", "toml",
    "voluptuous", "imagesize", "numpy", "rich", "sentencepiece", "pillow",
}  # fmt: skip
"""What its requirements.txt installs at 0.10.1; pillow comes with diffusers."""

_BY_ITS_README = {"deepspeed": "deepspeed==0.16.7"}
_IMPORTED = (
    "torchvision", "numpy", "safetensors", "opencv-python", "pillow", "voluptuous", "toml", "einops",
    "imagesize",
)  # fmt: skip
_INSTALLED = ("package-missing", "package-version", "ftfy-missing")  # what installing a package cures
OLDEST_PYTHON, OLDEST_TORCH, TESTED_TORCH = (3, 10), (2, 1), (2, 6)
GIB = 1 << 30


def of_packages(machine: Machine, needs: Needs) -> list[Line]:
    """A line for each pinned and each optional package, one for the others, one for each that is wrong.

    What one command cures has the same cure, which names all the packages that it serves.
    """
    lines = list(_packages(machine, needs))
    python = f'"{machine.python}"' if " " in str(machine.python) else str(machine.python)
    cures: dict[str, str] = {}  # by package
    required = [line.check for line in lines if line.code in _INSTALLED and line.check in _IN_REQUIREMENTS]
    others = [line.check for line in lines if line.code in _INSTALLED and line.check not in _IN_REQUIREMENTS]
    install = f"{python} -m pip install"
    cures |= dict.fromkeys(
        required, f"in sd-scripts' folder: `{install} -r requirements.txt` (for {', '.join(required)})"
    )
    named = " ".join(_BY_ITS_README.get(name, name) for name in others if name != "torchvision")
    own = f"`{install} {named}`; sd-scripts' requirements do not have {'it' if len(others) == 1 else 'them'}"
    cures |= dict.fromkeys(others, own)
    if "torchvision" in others:
        cures["torchvision"] = "install torchvision with the trainer's Python, in the version for its torch"
    return [_cured(line, cures) for line in lines]


def _cured(line: Line, cures: Mapping[str, str]) -> Line:
    """The line with the cure of its package, where something need be done at all."""
    if line.found is None or line.code not in _INSTALLED or line.state == "info":
        return line
    return replace(line, found=replace(line.found, remedy=cures[line.check]))


def _packages(machine: Machine, needs: Needs) -> Iterator[Line]:
    for name, version in PINNED.items():
        line = _required(machine, name)
        if line.state == "ok" and line.seen != version:
            line = bad(name, "package-version", f"{line.seen}; sd-scripts pins {version}")
        elif line.state == "ok" and name == "accelerate":
            line = ok(name, f"{line.seen}, starts as `python -m accelerate.commands.launch`")
        yield line
    yield _bitsandbytes(machine, needs)
    asked = needs.on("xformers")
    severity: Severity = "error" if asked else "info"
    line = _required(machine, "xformers", severity)
    if line.code == "package-missing":
        seen = "the plan asks for it" if asked else "not there; only a run that asks for it needs it"
        line = bad("xformers", "xformers-missing", seen, severity=severity)
    yield line
    line = _required(machine, "ftfy")
    yield bad("ftfy", "ftfy-missing", line.seen) if line.code == "package-missing" else line
    log_with = needs.text("log_with")
    # sd-scripts logs to tensorboard wherever a logging folder is named and nothing else is.
    logs = log_with in {"tensorboard", "all"} or (needs.on("logging_dir") and not needs.on("log_with"))
    yield _required(machine, "tensorboard", "error" if logs else "info" if needs.run else "warning")
    if not needs.bitsandbytes:  # it has a line of its own
        yield from (_required(machine, name) for name in packages_of(needs.optimizer))
    if log_with in {"wandb", "all"}:
        yield _required(machine, "wandb")
    if needs.text("network_module").partition(".")[0] == "lycoris":
        yield _required(machine, "lycoris-lora")
    if needs.on("deepspeed"):
        yield _required(machine, "deepspeed")
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


def _bitsandbytes(machine: Machine, needs: Needs) -> Line:
    """A warning even without a run, for most runs use it. That it needs a GPU matters where it is used."""
    name = "bitsandbytes"
    severity: Severity = "error" if needs.bitsandbytes else "info" if needs.run else "warning"
    said = "not there; the 8-bit optimizers need it"
    if needs.run is not None:
        asked = f"the plan asks for {needs.text('optimizer_type') or needs.optimizer}"
        said = asked if needs.bitsandbytes else "not there; the plan does without"
    line = _required(machine, name, severity)
    if line.code == "package-missing":
        return bad(name, "bitsandbytes-missing", said, severity=severity)
    if line.state == "ok" and needs.bitsandbytes and not machine.gpus:
        return bad(name, "bitsandbytes-no-gpu", said)
    return line


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: `2.6.0+cu124` is (2, 6, 0)."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def of_python(machine: Machine) -> Line:
    """The Python itself."""
    seen = f"{machine.python_version}, {machine.python}"
    if numbers(machine.python_version) < OLDEST_PYTHON:
        return bad("python", "python-old", seen)
    return bad("python", "trainer-python-own", seen) if is_own(machine.python) else ok("python", seen)


def of_torch(machine: Machine) -> Line:
    """torch's version and whether it imports."""
    version = machine.packages.get("torch")
    if version is None:
        return bad("torch", "torch-missing", "not installed")
    if "torch" in machine.broken:
        return bad("torch", "package-broken", f"{version}: {machine.broken['torch']}")
    seen = f"{version}, built for {_built(machine)}"
    if numbers(version) and numbers(version) < TESTED_TORCH:
        return bad("torch", "torch-old" if numbers(version) < OLDEST_TORCH else "torch-untested", seen)
    return ok("torch", seen)


def _built(machine: Machine) -> str:
    cuda = machine.cuda
    return "the CPU only" if cuda is None else cuda if cuda.startswith("ROCm") else f"CUDA {cuda}"


def of_gpus(machine: Machine, local: Sequence[Gpu], needs: Needs) -> Iterator[Line]:
    """The GPUs, and whether the plan fits. `local`: those that the driver lists, whatever torch says."""
    if not machine.has("torch"):
        yield from without_torch(local)
    elif machine.gpus:
        yield ok("gpu", "; ".join(map(_spoken, machine.gpus)))
        yield from _of_run(machine, needs)
    elif local or "cuda" in machine.broken:
        names = ", ".join(gpu.name for gpu in local)
        why = machine.broken.get("cuda") or f"torch is built for {_built(machine)}"
        yield bad("gpu", "gpu-unusable", f"{names}: {why}" if names else why)
    else:
        severity: Severity = "error" if needs.gpu else "warning"
        asked = f"; the plan asks for {needs.gpu}" if needs.gpu else ""
        yield bad("gpu", "gpu-missing", f"none found{asked}", severity=severity)


def without_torch(local: Sequence[Gpu]) -> Iterator[Line]:
    """What the driver says, where no torch can be asked."""
    if local:
        yield ok("gpu", "; ".join(map(_spoken, local)) + " (by the driver; torch was not asked)")


def _spoken(gpu: Gpu) -> str:
    return f"{gpu.name}, {gpu.free / GIB:.1f} of {gpu.total / GIB:.1f} GiB free"


def _of_run(machine: Machine, needs: Needs) -> Iterator[Line]:
    """Whether the plan fits into the first GPU's memory, and whether that computes in bf16."""
    gpu, estimate = machine.gpus[0], needs.plan.memory.estimate
    if estimate:
        seen = f"the plan takes about {estimate / GIB:.1f} GiB; {_spoken(gpu)}"
        if estimate > gpu.total:
            yield bad("gpu-memory", "gpu-memory-short", seen)
        elif estimate > gpu.free:
            yield bad("gpu-memory", "gpu-memory-taken", seen)
        else:
            yield ok("gpu-memory", seen)
    asked = needs.text("mixed_precision") == "bf16" or needs.on("full_bf16")
    if machine.bf16:
        yield ok("bf16", "the GPU computes in it")
    elif asked or needs.run is None:
        yield bad("bf16", "bf16-missing", f"not by {gpu.name}", severity="error" if asked else "warning")
