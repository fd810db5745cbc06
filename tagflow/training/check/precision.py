"""Number formats, attention, memory switches and what the machine must have for them."""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import optimizer
from tagflow.training.sd_scripts.optimizers import is_bitsandbytes, packages_of
from tagflow.training.setup.setup import Setup

_ATTENTION = ("mem_eff_attn", "xformers", "sdpa")  # the first one wins
_DEEPSPEED = (
    "zero_stage", "offload_optimizer_device", "offload_optimizer_nvme_path", "offload_param_device",
    "offload_param_nvme_path", "zero3_init_flag", "zero3_save_16bit_model",
    "fp16_master_weights_and_gradients",
)  # fmt: skip


def faults(setup: Setup) -> Iterator[Finding]:
    """Everything about precision and memory."""
    yield from _formats(setup)
    yield from _fp8(setup)
    yield from _attention(setup)
    yield from _memory(setup)
    yield from _packages(setup)


def _formats(setup: Setup) -> Iterator[Finding]:
    mixed = setup.text("mixed_precision") or "no"
    for name, wanted in (("full_fp16", "fp16"), ("full_bf16", "bf16")):
        if setup.on(name) and mixed != wanted:
            yield finding("full-precision-mismatch", f"{name} with mixed_precision {mixed}", option=name)
    if mixed == "no":
        yield finding("mixed-precision-off", option="mixed_precision")
    machine = setup.machine
    if mixed == "bf16" and machine is not None and machine.gpus and not machine.bf16:
        yield finding("bf16-unsupported", machine.gpus[0].name, option="mixed_precision")


def _fp8(setup: Setup) -> Iterator[Finding]:
    option = next((name for name in ("fp8_base", "fp8_base_unet") if setup.on(name)), None)
    if option is None:
        return
    if (setup.text("mixed_precision") or "no") == "no":
        yield finding("fp8-unmixed", option=option)
    machine = setup.machine
    if machine is not None and not machine.gpus:
        yield finding("fp8-without-gpu", option=option)
    torch = machine.packages.get("torch") if machine is not None else None
    if torch and _version(torch) < (2, 1):
        yield finding("fp8-torch-old", f"torch {torch}", option=option)


def _version(text: str) -> tuple[int, ...]:
    numbers = text.partition("+")[0].split(".")[:2]
    return tuple(int(one) for one in numbers) if all(one.isdigit() for one in numbers) else (99,)


def _attention(setup: Setup) -> Iterator[Finding]:
    found = [name for name in _ATTENTION if setup.on(name)]
    if not found:
        yield finding("attention-none", option="sdpa")
    if len(found) > 1:
        yield finding(
            "attention-several", f"{found[0]} is taken, not {' or '.join(found[1:])}", option=found[0]
        )
    if found and found[0] == "xformers" and _lacks(setup, "xformers"):
        yield finding("xformers-missing", _why(setup, "xformers"), option="xformers")


def _memory(setup: Setup) -> Iterator[Finding]:
    if setup.on("cpu_offload_checkpointing"):
        code = "cpu-offload-checkpointing" if setup.on("gradient_checkpointing") else "cpu-offload-idle"
        yield finding(code, option="cpu_offload_checkpointing")
    if setup.on("fused_backward_pass"):
        many = setup.number("gradient_accumulation_steps") > 1
        if optimizer(setup) != "adafactor" or many:
            what = "gradient_accumulation_steps" if many else f"optimizer {optimizer(setup)}"
            yield finding("fused-backward-refused", what, option="fused_backward_pass")
        else:
            yield finding("fused-backward-idle", option="fused_backward_pass")
    if setup.on("deepspeed") and _lacks(setup, "deepspeed"):
        yield finding("deepspeed-missing", _why(setup, "deepspeed"), option="deepspeed")
    idle = [name for name in _DEEPSPEED if name in setup.given and not setup.on("deepspeed")]
    if idle:
        yield finding("deepspeed-idle", ", ".join(idle), option=idle[0])
    if setup.on("persistent_data_loader_workers") and not setup.number("max_data_loader_n_workers"):
        yield finding("workers-persistent", option="persistent_data_loader_workers")


def _packages(setup: Setup) -> Iterator[Finding]:
    name = optimizer(setup)
    option = "use_8bit_adam" if setup.on("use_8bit_adam") else "optimizer_type"
    if is_bitsandbytes(name):
        if _lacks(setup, "bitsandbytes"):
            yield finding("eight-bit-missing", f"{name}; {_why(setup, 'bitsandbytes')}", option=option)
        elif setup.machine is not None and not setup.machine.gpus:
            yield finding("eight-bit-without-gpu", name, option=option)
    else:
        for needed in packages_of(name):
            if _lacks(setup, needed):
                yield finding("optimizer-package-missing", f"{name} needs {needed}", option=option)
    if setup.text("log_with") in ("wandb", "all") and _lacks(setup, "wandb"):
        yield finding("wandb-missing", _why(setup, "wandb"), option="log_with")
    if setup.text("logging_dir") and setup.text("log_with") != "wandb" and _lacks(setup, "tensorboard"):
        yield finding("tensorboard-missing", _why(setup, "tensorboard"), option="logging_dir")


def _lacks(setup: Setup, package: str) -> bool:
    """Whether the trainer's Python was asked for a package, and it is not there or does not import."""
    machine = setup.machine
    return machine is not None and package in machine.packages and not machine.has(package)


def _why(setup: Setup, package: str) -> str:
    """In words: it is not there, or why it does not import."""
    reason = setup.machine.broken.get(package) if setup.machine is not None else None
    return reason or f"{package} is not installed"
