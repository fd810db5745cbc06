"""The optimizers that sd-scripts takes, and the packages they need; open it when a new one appears.

Source: sd-scripts 0.10.1, `library/train_util.py`, `get_optimizer`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tagflow.training.sd_scripts.options import Value

OWN = (
    "adamw", "adamw8bit", "lion", "lion8bit", "sgdnesterov", "sgdnesterov8bit", "pagedadamw",
    "pagedadamw8bit", "pagedadamw32bit", "pagedlion8bit", "adafactor", "prodigy", "dadaptation",
    "dadaptadampreprint", "dadaptadagrad", "dadaptadam", "dadaptadan", "dadaptadanip", "dadaptlion",
    "dadaptsgd", "adamwschedulefree", "radamschedulefree", "sgdschedulefree",
)  # fmt: skip
"""Its own names, in lower case; it takes them in any case."""

TORCH = (
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Muon", "NAdam", "RAdam",
    "RMSprop", "Rprop", "SGD",
)  # fmt: skip
"""Classes of torch.optim, exactly so. LBFGS and SparseAdam take no LoRA, so they are not here."""

_PACKAGES = {"lion": "lion-pytorch", "prodigy": "prodigyopt"}
_MODULES = {"prodigyplus": "prodigy-plus-schedule-free"}  # the module has another name


def optimizer_of(values: Mapping[str, Value]) -> str:
    """The optimizer that the values of options choose, in lower case."""
    if values.get("use_8bit_adam"):
        return "adamw8bit"
    if values.get("use_lion_optimizer"):
        return "lion"
    return str(values.get("optimizer_type") or "AdamW").lower()


def is_bitsandbytes(optimizer: str) -> bool:
    """Whether an optimizer, in any case, comes from bitsandbytes, which needs a GPU."""
    name = optimizer.lower()
    paged = name in ("pagedadamw", "pagedadamw32bit")
    return name.endswith("8bit") or paged or name.partition(".")[0] == "bitsandbytes"


def packages_of(optimizer: str) -> list[str]:
    """The packages (distribution names) that an optimizer, in any case, needs beside what every run needs."""
    name = optimizer.lower()
    if is_bitsandbytes(name):
        return ["bitsandbytes"]
    found = [_PACKAGES[name]] if name in _PACKAGES else []
    if name.startswith("dadapt"):
        found.append("dadaptation")
    elif "." in name:  # a class by its module, such as pytorch_optimizer.CAME
        module = name.partition(".")[0]
        found.append(_MODULES.get(module, module.replace("_", "-")))
    if name.endswith("schedulefree") and "schedulefree" not in found:
        found.append("schedulefree")
    return found
