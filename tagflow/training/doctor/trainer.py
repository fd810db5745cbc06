"""The trainer's Python, torch, the GPU and its memory. Pure: a Machine goes in, lines come out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tagflow.findings import Severity
from tagflow.training.doctor.line import Line, Needs, bad, ok
from tagflow.training.environment import is_own
from tagflow.training.machine import Gpu, Machine

OLDEST_PYTHON, OLDEST_TORCH, TESTED_TORCH = (3, 10), (2, 1), (2, 6)
GIB = 1 << 30


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
        yield from _memory(machine.gpus[0], needs)
        yield from _bf16(machine, needs)
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


def _memory(gpu: Gpu, needs: Needs) -> Iterator[Line]:
    estimate = needs.number("memory", "estimate")
    if not estimate:
        return
    seen = f"the plan takes about {estimate / GIB:.1f} GiB; {_spoken(gpu)}"
    if estimate > gpu.total:
        yield bad("gpu-memory", "gpu-memory-short", seen)
    elif estimate > gpu.free:
        yield bad("gpu-memory", "gpu-memory-taken", seen)
    else:
        yield ok("gpu-memory", seen)


def _bf16(machine: Machine, needs: Needs) -> Iterator[Line]:
    asked = needs.text("mixed_precision") == "bf16" or needs.on("full_bf16")
    if machine.bf16:
        yield ok("bf16", "the GPU computes in it")
    elif asked or needs.run is None:
        name = machine.gpus[0].name
        yield bad("bf16", "bf16-missing", f"not by {name}", severity="error" if asked else "warning")
