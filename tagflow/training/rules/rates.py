"""Optimizers and learning rates."""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.training.faults import Fault
from tagflow.training.rules.derived import (
    adapts,
    arguments,
    caches_text,
    optimizer,
    trains_text,
    trains_unet,
    words,
)
from tagflow.training.setup import Setup

# By sd-scripts' own names, in any case.
_OWN = (
    "adamw", "adamw8bit", "lion", "lion8bit", "sgdnesterov", "sgdnesterov8bit", "pagedadamw",
    "pagedadamw8bit", "pagedadamw32bit", "pagedlion8bit", "adafactor", "prodigy", "dadaptation",
    "dadaptadampreprint",
    "dadaptadagrad", "dadaptadam", "dadaptadan", "dadaptadanip", "dadaptlion", "dadaptsgd",
    "adamwschedulefree", "radamschedulefree", "sgdschedulefree",
)  # fmt: skip
# By the names of torch.optim's classes, exactly so. LBFGS and SparseAdam take no LoRA, so they are not here.
_TORCH = (
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Muon", "NAdam", "RAdam",
    "RMSprop", "Rprop", "SGD",
)  # fmt: skip
_HIGH, _LOW = 0.01, 0.1


def faults(setup: Setup) -> Iterator[Fault]:
    """Everything about optimizers and rates."""
    yield from _optimizer(setup)
    yield from _arguments(setup)
    yield from _text_rate(setup)
    if adapts(setup):
        yield from _adapting(setup)
    elif optimizer(setup) != "adafactor":
        yield from _plain(setup)
    yield from _zero(setup)


def _optimizer(setup: Setup) -> Iterator[Fault]:
    said = setup.text("optimizer_type")
    both = [name for name in ("use_8bit_adam", "use_lion_optimizer") if setup.on(name)]
    if len(both) > 1 or (both and said):
        yield Fault("optimizer-twice", ", ".join([*both, *[f"optimizer_type {said}"][: bool(said)]]), both[0])
    if said and "." not in said and said.lower() not in _OWN and said not in _TORCH:
        near = [name for name in (*_TORCH, "AdamW8bit") if name.lower() == said.lower()]
        meant = f"; did you mean {near[0]}?" if near else ""
        yield Fault("optimizer-unknown", said + meant, "optimizer_type")


def _arguments(setup: Setup) -> Iterator[Fault]:
    good = arguments(setup, "optimizer_args")
    for word in words(setup, "optimizer_args"):
        if word.count("=") != 1 or word.partition("=")[0] not in good:
            yield Fault("optimizer-args-form", word, "optimizer_args")


def _text_rate(setup: Setup) -> Iterator[Fault]:
    rate, option = setup.values.get("text_encoder_lr"), "text_encoder_lr"
    if isinstance(rate, list) and len(rate) > 1 and _is_lora(setup):
        yield Fault("text-encoder-lr-several", " ".join(f"{one:g}" for one in rate), option)
    if option in setup.given and not trains_text(setup):
        yield Fault("text-encoder-lr-idle", "", option)
    if rate is None and trains_text(setup) and not caches_text(setup) and "unet_lr" in setup.given:
        yield Fault("text-encoder-lr-inherited", f"{setup.number('learning_rate'):g}", option)


def _is_lora(setup: Setup) -> bool:
    return setup.text("network_module") in ("networks.lora", "networks.lora_fa", "networks.dylora", "")


def rates(setup: Setup) -> dict[str, float]:
    """The rate of each part that is trained, as sd-scripts takes it: its own, else `learning_rate`."""
    found: dict[str, float] = {}
    if trains_text(setup):
        own = setup.values.get("text_encoder_lr")
        first = own[0] if isinstance(own, list) and own else own
        found["text_encoder_lr"] = _or_default(setup, first)
    if trains_unet(setup):
        found["unet_lr"] = _or_default(setup, setup.values.get("unet_lr"))
    return found


def _or_default(setup: Setup, value: object) -> float:
    return float(value) if isinstance(value, int | float) else setup.number("learning_rate")


def _plain(setup: Setup) -> Iterator[Fault]:
    own = {name: rate for name, rate in rates(setup).items() if rate}
    unset = [name for name in own if name not in setup.given]
    if unset and "learning_rate" not in setup.given:
        yield Fault("learning-rate-default", f"for {', '.join(unset)}", "learning_rate")
    high = {name: rate for name, rate in own.items() if rate >= _HIGH}
    if high and optimizer(setup) != "sgdnesterov":
        said = ", ".join(f"{name} {rate:g}" for name, rate in high.items())
        yield Fault("learning-rate-high", f"{said} with {optimizer(setup)}", next(iter(high)))


def _adapting(setup: Setup) -> Iterator[Fault]:
    found = {name: rate for name, rate in rates(setup).items() if rate}
    low = {name: rate for name, rate in found.items() if rate <= _LOW}
    if low:
        said = ", ".join(f"{name} {rate:g}" for name, rate in low.items())
        yield Fault("adaptive-rate-low", f"{said} with {optimizer(setup)}", "learning_rate")
    if len(set(found.values())) > 1:
        yield Fault("adaptive-rates-several", ", ".join(found), "unet_lr")


def _zero(setup: Setup) -> Iterator[Fault]:
    found = rates(setup)
    zero = [name for name, rate in found.items() if not rate]
    if not any(found.values()):
        why = ", ".join(f"{name} 0" for name in zero) or "neither the U-Net nor the text encoders"
        yield Fault("nothing-trained", why, zero[0] if zero else "network_train_unet_only")
    elif zero:
        yield Fault("learning-rate-zero", ", ".join(zero), zero[0])
