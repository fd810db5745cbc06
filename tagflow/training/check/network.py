"""Rules about the network that is trained; open it for --network_* and weights that a run begins with.

What SDXL does not take (clip_skip, v2) is here, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import misspelt
from tagflow.training.check.derived import words
from tagflow.training.check.registry import rule
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


@rule("network-module-missing", "network-module-other", reads=("network_module",))
def network_module(setup: Setup) -> Iterator[Finding]:
    module = setup.text("network_module")
    if not module:
        yield finding("network-module-missing", option="network_module")
    elif module.startswith("networks.") and any(model in module for model in _OTHER_MODELS):
        yield finding("network-module-other", module, option="network_module")


@rule(
    "network-dim-default",
    "network-alpha-default",
    "network-alpha-large",
    "network-alpha-zero",
    reads=("network_dim", "network_alpha", "network_module", "dim_from_weights"),
)
def network_size(setup: Setup) -> Iterator[Finding]:
    """The scale of what is learned is alpha over dim."""
    if setup.on("dim_from_weights") or not setup.text("network_module"):
        return
    if any(one.option in ("network_dim", "network_alpha") for one in setup.faults):
        return  # one of them is no number, which is said already; what it would be is not known
    dim, alpha = setup.number("network_dim") or 4, setup.number("network_alpha")
    if not setup.number("network_dim"):
        yield finding("network-dim-default", option="network_dim")
    if "network_alpha" not in setup.given:
        if dim > 1:
            what = f"dim {dim:g}: scale {1 / dim:.3g}"
            yield finding("network-alpha-default", what, option="network_alpha")
    elif alpha > dim:
        yield finding("network-alpha-large", f"alpha {alpha:g}, dim {dim:g}", option="network_alpha")
    elif not alpha:
        yield finding("network-alpha-zero", f"dim {dim:g}", option="network_alpha")


@rule("network-args-form", reads=("network_args",))
def network_args_form(setup: Setup) -> Iterator[Finding]:
    for word in words(setup, "network_args"):
        if "=" not in word:
            yield finding("network-args-form", word, option="network_args")


@rule(
    "network-args-unknown",
    "network-args-blocks",
    "network-conv-alpha",
    reads=("network_args", "network_module"),
)
def network_args(setup: Setup) -> Iterator[Finding]:
    """What the plain LoRA makes of its arguments; other modules have others."""
    if setup.text("network_module") != _LORA:
        return
    option = "network_args"
    known = dict(word.split("=", 1) for word in words(setup, option) if "=" in word)
    for key in (key for key in known if key not in _KEYS):
        yield finding("network-args-unknown", misspelt(key, _KEYS), option=option)
    if "conv_dim" in known and "conv_alpha" not in known:
        yield finding("network-conv-alpha", f"conv_dim={known['conv_dim']}", option=option)
    for name in _BY_BLOCK:
        if name in known and (n := known[name].count(",") + 1) != _BLOCKS:
            yield finding("network-args-blocks", f"{name} has {n}", option=option)


@rule("dim-without-weights", reads=("dim_from_weights", "network_weights"))
def dim_without_weights(setup: Setup) -> Iterator[Finding]:
    if setup.on("dim_from_weights") and not setup.text("network_weights"):
        yield finding("dim-without-weights", option="dim_from_weights")


@rule("weights-not-found", reads=("network_weights", "base_weights"))
def weights_found(setup: Setup) -> Iterator[Finding]:
    named = [("network_weights", setup.text("network_weights"))]
    named += [("base_weights", word) for word in words(setup, "base_weights")]
    for option, name in named:
        if name and not (setup.folder / name).is_file():
            yield finding("weights-not-found", name, option=option)


@rule("base-weights-count", reads=("base_weights", "base_weights_multiplier"))
def base_weights_count(setup: Setup) -> Iterator[Finding]:
    count, factors = len(words(setup, "base_weights")), len(words(setup, "base_weights_multiplier"))
    if factors and factors != count:
        yield finding("base-weights-count", f"{factors} for {count} files", option="base_weights_multiplier")


@rule("clip-skip", reads=("clip_skip",))
def clip_skip(setup: Setup) -> Iterator[Finding]:
    if setup.values.get("clip_skip") is not None:
        yield finding("clip-skip", f"{setup.number('clip_skip'):g}", option="clip_skip")


@rule("v2-model", reads=("v2",))
def v2_model(setup: Setup) -> Iterator[Finding]:
    if setup.on("v2"):
        yield finding("v2-model", option="v2")
