"""The network that is trained: its module, its size, its arguments; and what SDXL does not take."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import words
from tagflow.training.setup.setup import Setup

_LORA = "networks.lora"
# What networks/lora.py reads of --network_args; every other key is passed over.
_KEYS = (
    "conv_dim", "conv_alpha", "block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas",
    "down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold", "rank_dropout",
    "module_dropout", "dropout", "loraplus_lr_ratio", "loraplus_unet_lr_ratio",
    "loraplus_text_encoder_lr_ratio",
)  # fmt: skip
_BY_BLOCK = ("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas")
_BLOCKS = 23  # of SDXL's U-Net, as networks/lora.py counts them
_OTHER_MODELS = ("flux", "sd3", "lumina", "anima", "hunyuan_image", "lllite")


def faults(setup: Setup) -> Iterator[Finding]:
    """Everything about the network."""
    yield from _module(setup)
    yield from _size(setup)
    yield from _arguments(setup)
    yield from _weights(setup)
    if setup.values.get("clip_skip") is not None:
        yield finding("clip-skip", f"{setup.number('clip_skip'):g}", option="clip_skip")
    if setup.on("v2"):
        yield finding("v2-model", option="v2")


def _module(setup: Setup) -> Iterator[Finding]:
    module = setup.text("network_module")
    if not module:
        yield finding("network-module-missing", option="network_module")
    elif module.startswith("networks.") and any(model in module for model in _OTHER_MODELS):
        yield finding("network-module-other", module, option="network_module")


def _size(setup: Setup) -> Iterator[Finding]:
    if setup.on("dim_from_weights") or not setup.text("network_module"):
        return
    dim, alpha = setup.number("network_dim") or 4, setup.number("network_alpha")
    if any(one.option in ("network_dim", "network_alpha") for one in setup.faults):
        return  # one of them is no number, which is said already; what it would be is not known
    if not setup.number("network_dim"):
        yield finding("network-dim-default", option="network_dim")
    if "network_alpha" not in setup.given:
        if dim > 1:
            yield finding(
                "network-alpha-default", f"dim {dim:g}: scale {1 / dim:.3g}", option="network_alpha"
            )
    elif alpha > dim:
        yield finding("network-alpha-large", f"alpha {alpha:g}, dim {dim:g}", option="network_alpha")
    elif not alpha:
        yield finding("network-alpha-zero", f"dim {dim:g}", option="network_alpha")


def _arguments(setup: Setup) -> Iterator[Finding]:
    option, given = "network_args", words(setup, "network_args")
    for word in given:
        if "=" not in word:
            yield finding("network-args-form", word, option=option)
    if setup.text("network_module") != _LORA:
        return
    known = dict(word.split("=", 1) for word in given if "=" in word)
    for key in known.keys() - set(_KEYS):
        near = get_close_matches(key, _KEYS, n=2, cutoff=0.6)
        meant = f"; did you mean {', '.join(near)}?" if near else ""
        yield finding("network-args-unknown", key + meant, option=option)
    if "conv_dim" in known and "conv_alpha" not in known:
        yield finding("network-conv-alpha", f"conv_dim={known['conv_dim']}", option=option)
    for name in _BY_BLOCK:
        if name in known and (n := known[name].count(",") + 1) != _BLOCKS:
            yield finding("network-args-blocks", f"{name} has {n}", option=option)


def _weights(setup: Setup) -> Iterator[Finding]:
    if setup.on("dim_from_weights") and not setup.text("network_weights"):
        yield finding("dim-without-weights", option="dim_from_weights")
    named = [("network_weights", setup.text("network_weights"))]
    named += [("base_weights", word) for word in words(setup, "base_weights")]
    for option, name in named:
        if name and not (setup.folder / name).is_file():
            yield finding("weights-not-found", name, option=option)
    count, factors = len(words(setup, "base_weights")), len(words(setup, "base_weights_multiplier"))
    if factors and factors != count:
        yield finding("base-weights-count", f"{factors} for {count} files", option="base_weights_multiplier")
