"""Rules about learning rates and steps; open it for who is trained at which rate, and how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many, some
from tagflow.training.check.arguments import taken
from tagflow.training.check.derived import (
    CACHES_TEXT,
    OPTIMIZER,
    STEPS,
    TRAINS_TEXT,
    TRAINS_UNET,
    accumulation,
    adapts,
    batches,
    caches_text,
    network_words,
    optimizer,
    processes,
    steps,
    trains_text,
    trains_unet,
)
from tagflow.training.check.registry import rule
from tagflow.training.sd_scripts.classes import outside
from tagflow.training.sd_scripts.networks import DYLORA, LORA, WEIGHTS, by_blocks, networks
from tagflow.training.sd_scripts.optimizers import named_optimizer, optimizer_path
from tagflow.training.sd_scripts.steps import epochs_of, steps_per_epoch
from tagflow.training.setup.setup import Setup

_HIGH, _LOW = 0.01, 0.1
_RATES = ("learning_rate", "unet_lr", "text_encoder_lr", *TRAINS_UNET, *TRAINS_TEXT)
_NETWORK = ("network_module", "network_args")
# The blocks of SDXL's U-Net that networks/lora.py gives modules, by the list that weighs them: without
# conv_dim only those with transformers in them.
_BLOCKS = dict(zip(WEIGHTS, ((4, 5, 7, 8), (1,), (0, 1, 2, 3, 4, 5)), strict=True))
_CONV_BLOCKS = dict(zip(WEIGHTS, (range(1, 9), range(3), range(9)), strict=True))


@rule("text-encoder-lr-several", reads=("text_encoder_lr", "network_module"))
def text_encoder_lr_several(setup: Setup) -> Iterator[Finding]:
    rate = setup.values.get("text_encoder_lr")
    plain = ("networks.lora", "networks.lora_fa", "networks.dylora", "")
    if isinstance(rate, list) and len(set(rate)) > 1 and setup.text("network_module") in plain:
        said = " ".join(f"{one:g}" for one in rate)
        yield finding("text-encoder-lr-several", said, option="text_encoder_lr")


@rule("text-encoder-lr-idle", reads=("text_encoder_lr", *TRAINS_TEXT))
def text_encoder_lr_idle(setup: Setup) -> Iterator[Finding]:
    rate = setup.values.get("text_encoder_lr")
    rates = rate if isinstance(rate, list) else [rate]
    if setup.moved("text_encoder_lr") and any(rates) and not trains_text(setup):
        yield finding("text-encoder-lr-idle", option="text_encoder_lr")


@rule(
    "text-encoder-lr-inherited",
    reads=("text_encoder_lr", "unet_lr", "learning_rate", *TRAINS_TEXT, *CACHES_TEXT),
)
def text_encoder_lr_inherited(setup: Setup) -> Iterator[Finding]:
    trained = trains_text(setup) and not caches_text(setup)
    if setup.values.get("text_encoder_lr") is None and trained and "unet_lr" in setup.given:
        said = f"{setup.number('learning_rate'):g}"
        yield finding("text-encoder-lr-inherited", said, option="text_encoder_lr")


def _rates(setup: Setup) -> dict[str, float]:
    """The rate of each part that is trained, as sd-scripts takes it: its own, else `learning_rate`."""
    found: dict[str, object] = {}
    if trains_text(setup):
        own = setup.values.get("text_encoder_lr")
        found["text_encoder_lr"] = own[0] if isinstance(own, list) and own else own
    if trains_unet(setup):
        found["unet_lr"] = setup.values.get("unet_lr")
    shared = setup.number("learning_rate")
    return {name: float(rate) if isinstance(rate, int | float) else shared for name, rate in found.items()}


@rule("nothing-trained", "learning-rate-zero", reads=_RATES)
def learning_rate_zero(setup: Setup) -> Iterator[Finding]:
    found = _rates(setup)
    zero = [name for name, rate in found.items() if not rate]
    if not any(found.values()):
        why = ", ".join(f"{name} 0" for name in zero) or "neither the U-Net nor the text encoders"
        yield finding("nothing-trained", why, option=zero[0] if zero else "network_train_unet_only")
    elif zero:
        yield finding("learning-rate-zero", ", ".join(zero), option=zero[0])


def _is_plain(setup: Setup) -> bool:
    """Whether the optimizer takes the rates as they are."""
    return not adapts(setup) and optimizer(setup) != "adafactor"


@rule("learning-rate-default", reads=(*_RATES, *OPTIMIZER))
def learning_rate_default(setup: Setup) -> Iterator[Finding]:
    unset = [name for name, rate in _rates(setup).items() if rate and name not in setup.given]
    if unset and "learning_rate" not in setup.given and _is_plain(setup):
        yield finding("learning-rate-default", f"for {', '.join(unset)}", option="learning_rate")


@rule("learning-rate-high", reads=(*_RATES, *OPTIMIZER))
def learning_rate_high(setup: Setup) -> Iterator[Finding]:
    high = {name: rate for name, rate in _rates(setup).items() if rate >= _HIGH}
    if high and _is_plain(setup) and optimizer(setup) != "sgdnesterov":
        said = ", ".join(f"{name} {rate:g}" for name, rate in high.items())
        yield finding("learning-rate-high", f"{said} with {optimizer(setup)}", option=next(iter(high)))


@rule("adaptive-rate-low", reads=(*_RATES, *OPTIMIZER))
def adaptive_rate_low(setup: Setup) -> Iterator[Finding]:
    """An optimizer that finds the rate itself takes a factor, which is 1."""
    if not adapts(setup):
        return
    low = {name: rate for name, rate in _rates(setup).items() if 0 < rate <= _LOW}
    if low:
        said = ", ".join(f"{name} {rate:g}" for name, rate in low.items())
        yield finding("adaptive-rate-low", f"{said} with {optimizer(setup)}", option="learning_rate")


@rule("adaptive-rates-several", reads=(*_RATES, *OPTIMIZER, *_NETWORK))
def adaptive_rates_several(setup: Setup) -> Iterator[Finding]:
    """Several rates where the optimizer finds one for all: an error where its class raises."""
    if not adapts(setup):
        return
    known = taken(setup, optimizer_path(named_optimizer(setup.values)), "optimizers")
    groups = [one for one in rate_groups(setup) if one.rate]
    if len({one.rate for one in groups}) < 2:
        return
    options = [one.by for one in groups if one.by != "network_args"]
    several = len({one.rate for one in groups if one.by != "network_args"}) > 1
    option = "network_args" if not several else options[-1]
    said = some(dict.fromkeys(f"{one.said} {one.rate:g}" for one in groups), 4)
    dies = known is not None and known.one_rate
    cure = ""
    if option == "network_args":
        keys = dict.fromkeys(one.key for one in groups if one.key)
        cure = f"take {', '.join(keys)} out of network_args, or take AdamW8bit"
    yield finding(
        "adaptive-rates-several", f"{said} with {named_optimizer(setup.values)}", option=option,
        severity=None if dies else "warning", cure=cure,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RateGroup:
    """A group of parameters with a rate of its own.

    `by`: the option that gives the rate; `key`: what of network_args changes it, empty for nothing. `said`:
    the group in words.
    """

    by: str
    key: str
    said: str
    rate: float


def rate_groups(setup: Setup) -> list[RateGroup]:
    """The groups that networks/lora.py makes: text encoders, U-Net or its blocks, and LoRA+'s of each.

    Source: sd-scripts `networks/lora.py`, `prepare_optimizer_params`. One with a rate of 0 is left out there.
    """
    module = setup.text("network_module")
    given = network_words(setup) if module in (LORA, DYLORA) else {}
    found: list[RateGroup] = []
    for option, rate in _rates(setup).items():
        unet = option == "unet_lr"
        key = f"loraplus_{'unet' if unet else 'text_encoder'}_lr_ratio"
        key = key if _number(given, key) else "loraplus_lr_ratio"
        ratio = _number(given, key)
        for weight, by in (_block_weights(given) if unet and module == LORA else {1.0: ""}).items():
            said = f"{option} by {by}" if by else option
            found.append(RateGroup("network_args" if by else option, by, said, rate * weight))
            if ratio:
                plus = f"{said} by {key}={ratio:g}"
                found.append(RateGroup("network_args", key, plus, rate * weight * ratio))
    return found


def _block_weights(given: Mapping[str, str]) -> dict[float, str]:
    """The different weights of the U-Net's blocks that have modules, each with the word that gives it.

    Source: `parse_block_lr_kwargs` and `get_block_lr_weight` in networks/lora.py.
    """
    if not any(name in given for name in WEIGHTS):
        return {1.0: ""}
    found: dict[float, str] = {}
    least = _number(given, "block_lr_zero_threshold") or 0.0
    for name in WEIGHTS:
        argument, text = networks().arguments[LORA][name], given.get(name)
        if text is not None and argument.fault(text, networks().shapes):
            return {1.0: ""}  # which another rule tells of
        weights = [1.0] * argument.entries if text is None else by_blocks(text, argument.entries)
        for at in (_CONV_BLOCKS if given.get("conv_dim") else _BLOCKS)[name]:
            low = text is not None and weights[at] <= least
            found.setdefault(0.0 if low else weights[at], name if text is not None else "")
    return found


def _number(given: Mapping[str, str], name: str) -> float | None:
    try:
        return float(given[name])
    except (KeyError, ValueError):
        return None


@rule("learning-rate-refused", "learning-rate-negative", reads=(*_RATES, *OPTIMIZER))
def learning_rate_refused(setup: Setup) -> Iterator[Finding]:
    """The class is made with learning_rate, and holds no other rate against its limits."""
    known = taken(setup, optimizer_path(named_optimizer(setup.values)), "optimizers")
    shared, name = setup.number("learning_rate"), named_optimizer(setup.values)
    if known and outside(shared, known.rate):
        what = f"learning_rate {shared:g} with {name}: outside of {known.rate}"
        cure = "set learning_rate = 1.0" if adapts(setup) else ""
        yield finding("learning-rate-refused", what, option="learning_rate", cure=cure)
    below = {option: rate for option, rate in _rates(setup).items() if rate < 0}
    if below and not (known and outside(shared, known.rate) and set(below.values()) == {shared}):
        said = ", ".join(f"{option} {rate:g}" for option, rate in below.items())
        yield finding("learning-rate-negative", said, option=next(iter(below)))


@rule("steps-default", "steps-and-epochs", reads=("max_train_epochs", "max_train_steps"))
def steps_given(setup: Setup) -> Iterator[Finding]:
    epochs, count = "max_train_epochs" in setup.given, "max_train_steps" in setup.given
    if not epochs and not count:
        yield finding("steps-default", option="max_train_steps")
    if epochs and setup.moved("max_train_steps") and setup.number("max_train_epochs"):
        yield finding("steps-and-epochs", option="max_train_steps")


@rule("epochs-otherwise", reads=("max_train_epochs", *STEPS))
def epochs_otherwise(setup: Setup) -> Iterator[Finding]:
    """A front end's own `epoch`, which sd-scripts does not read: it makes epochs of the steps."""
    meant, count = setup.front_end.get("epoch"), int(setup.number("max_train_steps"))
    every = batches(setup)
    if setup.number("max_train_epochs") or not every or not isinstance(meant, int) or meant < 1:
        return
    each = steps_per_epoch(every, processes(setup), accumulation(setup))
    if (made := epochs_of(count, every, processes(setup), accumulation(setup))) != meant:
        what = f"epoch = {meant}, and {count} steps of {each} an epoch are {many(made, 'epoch')}"
        yield finding("epochs-otherwise", what, option="max_train_steps")


@rule("initial-step-beyond", reads=("initial_step", *STEPS))
def initial_step_beyond(setup: Setup) -> Iterator[Finding]:
    first, total = setup.number("initial_step"), steps(setup)
    if total and first >= total:
        yield finding("initial-step-beyond", f"{first:g} of {total}", option="initial_step")


@rule("initial-without-resume", reads=("initial_step", "initial_epoch", "resume", "network_weights"))
def initial_without_resume(setup: Setup) -> Iterator[Finding]:
    started = [name for name in ("initial_step", "initial_epoch") if setup.moved(name)]
    if started and not setup.text("resume") and not setup.text("network_weights"):
        yield finding("initial-without-resume", option=started[0])


@rule("seed-missing", reads=("seed",))
def seed_missing(setup: Setup) -> Iterator[Finding]:
    if setup.values.get("seed") is None:
        yield finding("seed-missing", option="seed")
