"""Rules about weights that a run begins with; open it for --network_weights and --base_weights.

They are known by their headers. A file of another suffix than .safetensors is a pickle, and not looked into.
"""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.errors import EncoderError
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many, some
from tagflow.models.lora import TEXT, Lora, is_convolution, read_lora
from tagflow.training.check.derived import network_words, words
from tagflow.training.check.registry import rule
from tagflow.training.sd_scripts.networks import DYLORA, LORA, LYCORIS, OFT, algorithm, networks
from tagflow.training.setup.setup import Setup

_PLAIN = (LORA, "networks.lora_fa", DYLORA)
# The forms that the modules of LyCORIS' algorithms have.
_OF_ALGORITHM = {
    "lora": "LoRA", "locon": "LoRA", "dylora": "LoRA", "loha": "LoHa", "lokr": "LoKr", "diag-oft": "OFT",
    "boft": "OFT", "glora": "GLoRA", "full": "full", "ia3": "IA3",
}  # fmt: skip
_BY_PART = ("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas")


def _named(setup: Setup) -> list[tuple[str, str]]:
    """The option and the name of each file of weights."""
    named = [("network_weights", setup.text("network_weights"))]
    return named + [("base_weights", word) for word in words(setup, "base_weights")]


def _form(setup: Setup) -> str | None:
    """The form that the network will have; None where it is not known."""
    module, given = setup.text("network_module"), network_words(setup)
    if module == LYCORIS:
        own = given.get("preset", "full") not in networks().presets  # it may choose other algorithms
        return None if own else _OF_ALGORITHM.get(algorithm(given))
    return "LoRA" if module in _PLAIN else "OFT" if module == OFT else None


@rule("weights-not-found", reads=("network_weights", "base_weights"))
def weights_found(setup: Setup) -> Iterator[Finding]:
    for option, name in _named(setup):
        if name and not (setup.folder / name).is_file():
            yield finding("weights-not-found", name, option=option)


@rule("dim-without-weights", reads=("dim_from_weights", "network_weights"))
def dim_without_weights(setup: Setup) -> Iterator[Finding]:
    if setup.on("dim_from_weights") and not setup.text("network_weights"):
        yield finding("dim-without-weights", option="dim_from_weights")


@rule("base-weights-count", reads=("base_weights", "base_weights_multiplier"))
def base_weights_count(setup: Setup) -> Iterator[Finding]:
    count, factors = len(words(setup, "base_weights")), len(words(setup, "base_weights_multiplier"))
    if factors and factors != count:
        yield finding("base-weights-count", f"{factors} for {count} files", option="base_weights_multiplier")


@rule(
    "weights-unreadable",
    "weights-foreign",
    "weights-partly",
    "weights-rank",
    "weights-alpha",
    reads=(
        *("network_weights", "base_weights", "network_module", "network_args", "network_dim"),
        *("network_alpha", "dim_from_weights", "network_train_unet_only", "network_train_text_encoder_only"),
    ),
)
def weights_fit(setup: Setup) -> Iterator[Finding]:
    """What of a file the network takes. That nothing fits is told to nobody: the rest is a new network."""
    for option, name in _named(setup):
        if not name.endswith(".safetensors") or not (setup.folder / name).is_file():
            continue
        try:
            lora = read_lora(setup.folder / name)
        except (EncoderError, OSError) as problem:
            yield finding("weights-unreadable", f"{name}: {problem}", option=option)
            continue
        form = _form(setup)
        taken = [part for part in lora.forms if form in (None, lora.forms[part])]
        if option == "base_weights":
            # LyCORIS takes every form there; sd-scripts' modules rename the blocks of a Diffusers LoRA.
            renamed = "Diffusers' names of the blocks" in lora.what and setup.text("network_module") in _PLAIN
            if not (lora.forms if setup.text("network_module") == LYCORIS else taken) and not renamed:
                yield finding("weights-foreign", _foreign(name, lora, setup), option=option)
        elif not taken:
            yield finding("weights-foreign", _foreign(name, lora, setup), option=option)
        else:
            yield from _loaded(setup, name, lora, taken)


def _foreign(name: str, lora: Lora, setup: Setup) -> str:
    return f"{name} is {lora.what}; {setup.text('network_module') or 'the network'} takes nothing of it"


def _loaded(setup: Setup, name: str, lora: Lora, taken: list[str]) -> Iterator[Finding]:
    """What of the network's own weights is left out, or does not go with the options."""
    given, option = network_words(setup), "network_weights"
    from_file, plain = setup.on("dim_from_weights"), setup.text("network_module") in _PLAIN
    text = [part for part in taken if part.startswith(TEXT)]
    rest = [part for part in taken if not part.startswith(TEXT)]
    dropped, why = [], []
    if text and setup.on("network_train_unet_only"):
        dropped, why = text, ["network_train_unet_only leaves those of the text encoders out"]
        text = []
    if rest and setup.on("network_train_text_encoder_only"):
        dropped, why = [*dropped, *rest], [*why, "network_train_text_encoder_only leaves the U-Net's out"]
        rest = []
    conv = [part for part in rest if lora.forms[part] == "LoRA" and is_convolution(part)]
    if conv and plain and not from_file and not {"conv_dim", "conv_block_dims"} & given.keys():
        dropped, why = [*dropped, *conv], [*why, "those of convolutions need network_args conv_dim"]
        rest = [part for part in rest if part not in conv]
    if dropped:
        count = f"{many(len(dropped), 'part')} of {len(taken)}"
        yield finding("weights-partly", f"{name}: {count}: {'; '.join(why)}", option=option)
    if from_file or set(_BY_PART) & given.keys() or setup.text("network_module") == DYLORA:
        return
    dim = 4 if setup.values.get("network_dim") is None else int(setup.number("network_dim"))
    by_conv = given.get("conv_dim", "")
    wanted = {False: dim, True: int(by_conv) if by_conv.isdecimal() else dim}
    wrong = {
        lora.ranks[part]: wanted[is_convolution(part)]
        for part in (*text, *rest)
        if part in lora.ranks and lora.ranks[part] != wanted[is_convolution(part)]
    }
    if wrong:
        said = some((f"rank {rank} where {here} is asked for" for rank, here in sorted(wrong.items())), 2)
        yield finding("weights-rank", f"{name}: {said}", option=option)
    alpha, here = lora.alpha, setup.number("network_alpha") or dim
    if alpha is not None and plain and abs(alpha - here) > 0.01 * max(abs(alpha), here):
        yield finding("weights-alpha", f"{name}: {alpha:g}, network_alpha {here:g}", option=option)
