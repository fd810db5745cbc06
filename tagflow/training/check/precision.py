"""Rules about number formats, attention and memory; open it where a GPU or a package is lacking."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import OPTIMIZER, optimizer
from tagflow.training.check.registry import rule
from tagflow.training.sd_scripts.optimizers import (
    is_bitsandbytes,
    named_optimizer,
    optimizer_path,
    packages_of,
)
from tagflow.training.setup.setup import Setup

_ATTENTION = ("mem_eff_attn", "xformers", "sdpa")  # the first one wins
_FP8 = ("fp8_base", "fp8_base_unet")
_DEEPSPEED = (
    "zero_stage", "offload_optimizer_device", "offload_optimizer_nvme_path", "offload_param_device",
    "offload_param_nvme_path", "zero3_init_flag", "zero3_save_16bit_model",
    "fp16_master_weights_and_gradients",
)  # fmt: skip


def _mixed(setup: Setup) -> str:
    return setup.text("mixed_precision") or "no"


@rule("full-precision-mismatch", reads=("full_fp16", "full_bf16", "mixed_precision"))
def full_precision(setup: Setup) -> Iterator[Finding]:
    for name, wanted in (("full_fp16", "fp16"), ("full_bf16", "bf16")):
        if setup.on(name) and _mixed(setup) != wanted:
            what = f"{name} with mixed_precision {_mixed(setup)}"
            yield finding("full-precision-mismatch", what, option=name)


@rule("mixed-precision-off", reads=("mixed_precision",))
def mixed_precision_off(setup: Setup) -> Iterator[Finding]:
    if _mixed(setup) == "no":
        yield finding("mixed-precision-off", option="mixed_precision")


@rule("bf16-unsupported", reads=("mixed_precision",), needs=("machine",))
def bf16_unsupported(setup: Setup) -> Iterator[Finding]:
    machine = setup.machine
    if _mixed(setup) == "bf16" and machine is not None and machine.gpus and not machine.bf16:
        yield finding("bf16-unsupported", machine.gpus[0].name, option="mixed_precision")


def _fp8(setup: Setup) -> str:
    """The option that asks for fp8; empty for none."""
    return next((name for name in _FP8 if setup.on(name)), "")


@rule("fp8-unmixed", reads=(*_FP8, "mixed_precision"))
def fp8_unmixed(setup: Setup) -> Iterator[Finding]:
    if (option := _fp8(setup)) and _mixed(setup) == "no":
        yield finding("fp8-unmixed", option=option)


@rule("fp8-without-gpu", "fp8-torch-old", reads=_FP8, needs=("machine",))
def fp8_possible(setup: Setup) -> Iterator[Finding]:
    option, machine = _fp8(setup), setup.machine
    if not option or machine is None:
        return
    if not machine.gpus:
        yield finding("fp8-without-gpu", option=option)
    torch = machine.packages.get("torch")
    version = re.match(r"(\d+)\.(\d+)", torch or "")
    if version and tuple(map(int, version.groups())) < (2, 1):
        yield finding("fp8-torch-old", f"torch {torch}", option=option)


@rule("attention-none", "attention-several", reads=_ATTENTION)
def attention(setup: Setup) -> Iterator[Finding]:
    found = [name for name in _ATTENTION if setup.on(name)]
    if not found:
        yield finding("attention-none", option="sdpa")
    if len(found) > 1:
        what = f"{found[0]} is taken, not {' or '.join(found[1:])}"
        yield finding("attention-several", what, option=found[0])


@rule("xformers-missing", reads=("xformers", "mem_eff_attn"), needs=("machine",))
def xformers_missing(setup: Setup) -> Iterator[Finding]:
    taken = setup.on("xformers") and not setup.on("mem_eff_attn")
    if taken and _lacks(setup, "xformers"):
        yield finding("xformers-missing", _why(setup, "xformers"), option="xformers")


@rule(
    "cpu-offload-checkpointing",
    "cpu-offload-idle",
    reads=("cpu_offload_checkpointing", "gradient_checkpointing"),
)
def cpu_offload(setup: Setup) -> Iterator[Finding]:
    if setup.on("cpu_offload_checkpointing"):
        code = "cpu-offload-checkpointing" if setup.on("gradient_checkpointing") else "cpu-offload-idle"
        yield finding(code, option="cpu_offload_checkpointing")


@rule(
    "fused-backward-refused",
    "fused-backward-idle",
    reads=("fused_backward_pass", "gradient_accumulation_steps", *OPTIMIZER),
)
def fused_backward(setup: Setup) -> Iterator[Finding]:
    if not setup.on("fused_backward_pass"):
        return
    many = setup.number("gradient_accumulation_steps") > 1
    if optimizer(setup) != "adafactor" or many:
        what = "gradient_accumulation_steps" if many else f"optimizer {optimizer(setup)}"
        yield finding("fused-backward-refused", what, option="fused_backward_pass")
    else:
        yield finding("fused-backward-idle", option="fused_backward_pass")


@rule("deepspeed-missing", reads=("deepspeed",), needs=("machine",))
def deepspeed_missing(setup: Setup) -> Iterator[Finding]:
    if setup.on("deepspeed") and _lacks(setup, "deepspeed"):
        yield finding("deepspeed-missing", _why(setup, "deepspeed"), option="deepspeed")


@rule("deepspeed-idle", reads=("deepspeed", *_DEEPSPEED))
def deepspeed_idle(setup: Setup) -> Iterator[Finding]:
    idle = [name for name in _DEEPSPEED if setup.moved(name) and not setup.on("deepspeed")]
    if idle:
        yield finding("deepspeed-idle", ", ".join(idle), option=idle[0])


@rule("workers-persistent", reads=("persistent_data_loader_workers", "max_data_loader_n_workers"))
def workers_persistent(setup: Setup) -> Iterator[Finding]:
    if setup.on("persistent_data_loader_workers") and not setup.number("max_data_loader_n_workers"):
        yield finding("workers-persistent", option="persistent_data_loader_workers")


def _optimizer_option(setup: Setup) -> str:
    return "use_8bit_adam" if setup.on("use_8bit_adam") else "optimizer_type"


@rule("eight-bit-missing", "eight-bit-without-gpu", reads=OPTIMIZER, needs=("machine",))
def eight_bit(setup: Setup) -> Iterator[Finding]:
    name, option = optimizer(setup), _optimizer_option(setup)
    if not is_bitsandbytes(name):
        return
    if _lacks(setup, "bitsandbytes"):
        yield finding("eight-bit-missing", f"{name}; {_why(setup, 'bitsandbytes')}", option=option)
    elif setup.machine is not None and not setup.machine.gpus:
        yield finding("eight-bit-without-gpu", name, option=option)


@rule("optimizer-package-missing", reads=OPTIMIZER, needs=("machine",))
def optimizer_package(setup: Setup) -> Iterator[Finding]:
    name, machine = optimizer(setup), setup.machine
    if machine is None or is_bitsandbytes(name):
        return
    lacking = [f"{name} needs {needed}" for needed in packages_of(name) if _lacks(setup, needed)]
    path = optimizer_path(named_optimizer(setup.values))
    seen, needed_by_all = machine.classes.get(path), path.partition(".")[0] in ("torch", "transformers")
    if not lacking and seen is not None and seen.lacks == "module" and not needed_by_all:
        lacking = [f"{name}: {seen.why}"]
    for what in lacking:
        yield finding("optimizer-package-missing", what, option=_optimizer_option(setup))


@rule("wandb-missing", "tensorboard-missing", reads=("log_with", "logging_dir"), needs=("machine",))
def tracker_missing(setup: Setup) -> Iterator[Finding]:
    to = setup.text("log_with")
    if to in ("wandb", "all") and _lacks(setup, "wandb"):
        yield finding("wandb-missing", _why(setup, "wandb"), option="log_with")
    if setup.text("logging_dir") and to != "wandb" and _lacks(setup, "tensorboard"):
        yield finding("tensorboard-missing", _why(setup, "tensorboard"), option="logging_dir")


def _lacks(setup: Setup, package: str) -> bool:
    """Whether the trainer's Python was asked for a package, and it is not there or does not import."""
    machine = setup.machine
    return machine is not None and package in machine.packages and not machine.has(package)


def _why(setup: Setup, package: str) -> str:
    """In words: it is not there, or why it does not import."""
    reason = setup.machine.broken.get(package) if setup.machine is not None else None
    return reason or f"{package} is not installed"
